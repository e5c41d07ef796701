"""The compiled pass says what the eager one says; without it, or with a broken one, answers still come."""

from __future__ import annotations

import copy
import logging
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from assistant.engine import load
from assistant.engine.compiled import Compiled, compile_step, package_of
from assistant.engine.decode import Count, Engine
from assistant.engine.load import load_engine
from assistant.engine.packed import pack_linears
from assistant.engine.sample import Sampling
from tests.engine.conftest import GREEDY, PROMPT, SLACK, lost, quiet, reference, speak, twin_of

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available() or shutil.which("g++") is None, reason="passes are compiled only for a CPU, with g++"
)
FORMS = {"float32": (torch.float32, None), "int4": (torch.bfloat16, 4)}


def wait_for(package: Path) -> None:
    while not package.exists():
        assert "Traceback" not in (log := (package.parent / "compile.log").read_text()), log
        time.sleep(0.2)


@pytest.fixture(scope="module", autouse=True)  # for it takes long, and the other tests need not wait
def waiting(embedded_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Any]:
    """The embedded model as it is when its pass is still being compiled, and its tokenizer."""
    return load_engine(
        embedded_file, "bfloat16", "int4", quiet, context=1024, compiled=tmp_path_factory.mktemp("compiled")
    )


@pytest.fixture(scope="module")
def packages(tiny_model: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """Two forms of the tiny model, each with its compiled pass."""
    made = {}
    for name, (dtype, bits) in FORMS.items():
        model = copy.deepcopy(tiny_model).to(dtype)
        if bits:
            pack_linears(model, bits)
        engine = Engine(model, context=512)
        package = package_of(tmp_path_factory.mktemp(name), model, 512)
        compile_step(model, engine.cache, package)
        made[name] = model, package
    return made


def with_package(model: Any, package: Path) -> Engine:
    engine = Engine(model, context=512)
    engine.package = package
    return engine


@pytest.mark.parametrize("form", FORMS)
def test_compiled_tokens_are_those_of_generate(packages: dict[str, tuple[Any, Path]], form: str) -> None:
    model, package = packages[form]
    twin = twin_of(model)
    for late in (False, True):
        engine = with_package(model, package)
        engine.reads_late = late
        said = speak(engine, PROMPT)
        assert engine._compiled is not None
        assert lost(twin, PROMPT, said) <= (1e-4 if form == "float32" else SLACK)
        if form == "float32":
            assert said == reference(twin, PROMPT)
            assert speak(engine, [*PROMPT, *said, 7]) == reference(twin, [*PROMPT, *said, 7])
            assert speak(engine, [256]) == reference(twin, [256])


@pytest.mark.parametrize("form", FORMS)
def test_compiled_logits_are_the_eager_ones_at_every_length(packages: dict[str, tuple[Any, Path]], form: str) -> None:
    model, package = packages[form]
    engine = Engine(model, context=512)
    run = Compiled(package, model)
    ids = [(5 * i + i * i) % 256 for i in range(512)]
    with torch.inference_mode():
        expected = engine._eager(torch.tensor(ids), 0, engine.cache, 512).float()
        for place in (1, 2, 31, 255, 511):
            found = run(torch.tensor([ids[place]]), place, engine.cache).float()
            assert found.shape == (1, 320)
            near = torch.nn.functional.cosine_similarity(found[0], expected[place], dim=0)
            assert near > (0.999999 if form == "float32" else 0.998)


def test_the_compiled_pass_is_what_reads_single_tokens(
    packages: dict[str, tuple[Any, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = with_package(*packages["float32"])
    speak(engine, PROMPT, Sampling(1))
    monkeypatch.setattr(engine, "_eager", None)
    count = Count()
    assert len(speak(engine, PROMPT, count=count)) == 24
    assert count.passes == 23


def test_the_weights_are_not_copied(packages: dict[str, tuple[Any, Path]]) -> None:
    model, package = copy.deepcopy(packages["float32"][0]), packages["float32"][1]
    engine = with_package(model, package)
    before = speak(engine, PROMPT)
    with torch.no_grad():
        model.model.norm.weight *= torch.linspace(-1, 3, 64)
    engine.forget()
    changed = speak(engine, PROMPT)
    assert changed == reference(twin_of(model), PROMPT) != before


def test_a_package_is_named_by_what_it_depends_on(
    packages: dict[str, tuple[Any, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {package_of(tmp_path, model, 512) for model, _ in packages.values()}
    model = packages["float32"][0]
    assert package_of(tmp_path, copy.deepcopy(model), 512) in names
    names.add(package_of(tmp_path, model, 513))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch, "get_num_threads", lambda: 77)
        names.add(package_of(tmp_path, model, 512))
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(torch, "__version__", "9")
        names.add(package_of(tmp_path, model, 512))
    other = copy.deepcopy(model)
    other.config.rms_norm_eps = 0.5
    names.add(package_of(tmp_path, other, 512))
    assert len(names) == 2 + 4


@pytest.mark.parametrize("bytes_left", [0, 5000])
def test_a_damaged_package_is_set_aside_and_answers_still_come(
    packages: dict[str, tuple[Any, Path]],
    twin: LlamaForCausalLM,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    bytes_left: int,
) -> None:
    model, package = packages["float32"]
    damaged = tmp_path / package.name
    damaged.write_bytes(package.read_bytes()[:bytes_left])
    engine = with_package(model, damaged)
    assert speak(engine, PROMPT) == reference(twin, PROMPT)
    assert "the compiled pass cannot be used; answers are slower" in caplog.text
    caplog.clear()
    speak(engine, PROMPT)
    assert caplog.text == ""  # said once
    assert not damaged.exists()  # and the next start makes a new one


def test_without_a_compiler_it_says_so_and_works(
    tiny_folder: Path,
    twin: LlamaForCausalLM,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(load, "compile_apart", None)
    engine, _ = load_engine(tiny_folder, "float32", "none", quiet, compiled=tmp_path)
    assert "there is no C++ compiler (no-such-compiler); install g++ for faster answers" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING
    assert speak(engine, PROMPT) == reference(twin, PROMPT)


def test_where_memory_is_short_nothing_is_compiled(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1_200_000_000))
    monkeypatch.setattr(load, "compile_apart", None)
    load_engine(tiny_folder, "float32", "none", quiet, compiled=tmp_path)
    assert "compiling takes 1.5 GB and 1.2 GB are free" in caplog.text


def test_nothing_is_compiled_where_nobody_asks_or_adapters_change_the_weights(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "compile_apart", None)
    assert load_engine(tiny_folder, "float32", "none", quiet)[0].package is None


def test_what_is_compiled_already_is_taken_up_at_once(
    packages: dict[str, tuple[Any, Path]], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "compile_apart", None)
    monkeypatch.setattr(load, "package_of", lambda folder, model, context: folder / "ready.pt2")
    shutil.copy(packages["float32"][1], tmp_path / "ready.pt2")
    engine, _ = load_engine(tiny_folder, "float32", "none", quiet, context=512, compiled=tmp_path)
    assert len(speak(engine, PROMPT)) == 24
    assert engine._compiled is not None


def test_an_engine_that_goes_away_ends_its_compiling(tiny_folder: Path, tmp_path: Path) -> None:
    processes = []
    start = load.compile_apart
    with pytest.MonkeyPatch.context() as watched:
        watched.setattr(load, "compile_apart", lambda *args: processes.append(start(*args)) or processes[-1])
        engine, _ = load_engine(tiny_folder, "float32", "none", quiet, compiled=tmp_path)
    assert processes[0].poll() is None
    del engine
    assert processes[0].poll() is not None


def test_the_embedded_model_is_compiled_apart_while_it_answers_and_says_the_same(waiting: tuple[Engine, Any]) -> None:
    engine, tokenizer = waiting
    assert engine.package is not None
    prompt = tokenizer.encode(
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False
    )
    meanwhile = speak(engine, prompt, Sampling(7))
    assert "Paris" in tokenizer.decode(meanwhile)
    wait_for(engine.package)
    assert [file.name for file in engine.package.parent.iterdir() if file.suffix == ".pt2"] == [engine.package.name]
    engine.forget()
    compiled = speak(engine, prompt, GREEDY)
    assert engine._compiled is not None
    assert lost(twin_of(engine.model), prompt, compiled) <= SLACK
