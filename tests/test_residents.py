"""Loaders become models of this process, whose settings and memory say how much of them there may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant import residents as house
from assistant.errors import ToolError
from assistant.residents import install, measure_machine, resident, retry_smaller
from assistant.settings import GIGABYTE, Settings
from tests.fake_models import Make

pytestmark = pytest.mark.usefixtures("little_garbage", "light_work")


def test_out_of_memory_frees_what_is_idle_and_tries_once_with_less(
    make_house: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make_house(10)
    monkeypatch.setattr(house, "_residents", here.residents)
    with here.lease("embed"):
        pass
    tried: list[bool] = []

    def work(smaller: bool) -> str:
        tried.append(smaller)
        if not smaller:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return "done"

    assert retry_smaller(work) == "done"
    assert tried == [False, True] and here.loaded() == set()

    def never(smaller: bool) -> str:
        raise MemoryError

    with pytest.raises(ToolError, match=r"not enough memory for this\. Try a smaller picture"):
        retry_smaller(never)
    with pytest.raises(RuntimeError, match="shape"):
        retry_smaller(lambda smaller: (_ for _ in ()).throw(RuntimeError("shape mismatch")))


def test_the_same_settings_give_the_same_house_and_others_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house, "_residents", None)
    monkeypatch.setattr(house, "_settings", None)
    with pytest.raises(RuntimeError, match="install"):
        house.residents()
    first = install(Settings(data=tmp_path))
    assert install(Settings(data=tmp_path)) is first is house.residents()
    assert install(Settings(data=tmp_path, memory_gb=1)) is not first


def test_a_resident_leases_from_the_house_of_this_process(make_house: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make_house(10)
    monkeypatch.setattr(house, "_residents", here.residents)
    captioner = resident("caption")(here.load)
    with captioner() as model:
        assert model == ["caption", 1]
    with resident("embed")(here.load)() as model:
        assert model == ["embed", 1]


def test_the_memory_setting_is_a_limit_and_not_a_promise(tmp_path: Path) -> None:
    everything = measure_machine(Settings(data=tmp_path)).bytes
    assert measure_machine(Settings(data=tmp_path, memory_gb=0.5)).bytes == min(everything, GIGABYTE // 2)
    assert measure_machine(Settings(data=tmp_path, memory_gb=1_000_000)).bytes == everything
