"""A model that left and came back says the same, quantized or not, and what was not changed is copied once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from assistant.engine.decode import Count
from assistant.engine.load import load_engine
from assistant.engine.sample import Sampling
from assistant.footprints import modules_of, weights_of
from assistant.parking import Parking
from assistant.speaker import Speaker
from tests.engine.conftest import ids_of, tiny_folder, tiny_model, tiny_tokenizer  # noqa: F401

LONG = [(7 * i) % 256 for i in range(100)]
IDS = torch.tensor([[256, 72, 101, 108, 108, 111]])


@pytest.fixture(params=["none", "nf4"])
def speaker(request: pytest.FixtureRequest, tiny_folder: Path) -> Speaker:  # noqa: F811
    engine, tokenizer = load_engine(tiny_folder, "bfloat16", request.param, lambda fraction, note: None)
    return Speaker(engine, tokenizer, None, None, frozenset())  # type: ignore[arg-type]


def logits(speaker: Speaker) -> torch.Tensor:
    with torch.inference_mode():
        return speaker.engine.model(IDS.to(speaker.engine.model.device)).logits.cpu()


def test_a_parked_model_comes_back_the_same(speaker: Speaker) -> None:
    before = logits(speaker)
    parking = Parking(speaker, "cpu")
    for _ in range(2):
        parking.leave()
        parking.come_back()
        assert torch.equal(logits(speaker), before)


def test_the_copy_on_the_host_is_made_once(speaker: Speaker) -> None:
    parking = Parking(speaker, "cpu")
    weight = next(speaker.engine.model.parameters())
    parking.leave()
    first = weight.data_ptr()
    parking.come_back()
    assert weight.data_ptr() != first
    parking.leave()
    assert weight.data_ptr() == first


def test_the_kv_cache_leaves_the_device_and_is_used_again(speaker: Speaker) -> None:
    def say() -> tuple[list[int], int]:
        count = Count()
        stream = speaker.engine.stream(LONG, Sampling(8), frozenset(), threading.Event(), count)
        return ids_of(stream), count.reused

    first, _ = say()
    parking = Parking(speaker, "cpu")
    parking.leave()
    assert speaker.engine.cache.ids == []
    assert speaker.engine.cache.nbytes == 0
    parking.come_back()
    assert say() == (first, len(LONG) - 1)


def test_weights_are_found_and_counted_wherever_a_loader_put_them(speaker: Speaker) -> None:
    model = speaker.engine.model
    assert modules_of(speaker) == [model] == modules_of(("processor", model)) == modules_of([model, None, 5])
    expected = sum(t.nbytes for t in {t.data_ptr(): t for t in (*model.parameters(), *model.buffers())}.values())
    assert weights_of(speaker, 1) == expected > 100_000
    assert weights_of("an ONNX session", 77) == 77
