"""Every way of running a pass gives the logits that the model gives when it reads everything at once."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from assistant.engine.cache import WorkingCache
from assistant.engine.decode import Count, Engine
from assistant.engine.forward import CAPTURED_GUESSES, SMALLEST_WINDOW, Captured, Eager, Step
from assistant.engine.load import load_engine
from assistant.engine.sample import Sampling
from assistant.types import Quantize
from tests.engine.conftest import GREEDY, PROMPT, logits_of, lost, quiet, reference, speak, twin_of

TEXT = [(5 * i + i * i) % 256 for i in range(400)]
SAME = {"rtol": 1e-4, "atol": 1e-4}


def read(engine: Engine, start: int, end: int, keep: int) -> torch.Tensor:
    with torch.inference_mode():
        return Eager(Step(engine.model))(torch.tensor(TEXT[start:end]), start, engine.cache, keep)


@pytest.mark.parametrize("cuts", [[0, 400], [0, 1, 2, 3, 400], [0, 256, 257, 262, 399, 400], [0, 100, 200, 300, 400]])
def test_logits_over_a_cache_are_those_without(engine: Engine, twin: LlamaForCausalLM, cuts: list[int]) -> None:
    pieces = [read(engine, start, end, end - start) for start, end in itertools.pairwise(cuts)]
    torch.testing.assert_close(torch.cat(pieces), logits_of(twin, TEXT), **SAME)


def test_only_the_logits_that_are_kept_are_computed(engine: Engine, twin: LlamaForCausalLM) -> None:
    logits = read(engine, 0, 400, 3)
    assert logits.shape == (3, 320)
    torch.testing.assert_close(logits, logits_of(twin, TEXT)[-3:], **SAME)


def test_what_was_read_beyond_the_position_is_not_seen(engine: Engine, twin: LlamaForCausalLM) -> None:
    with torch.inference_mode():
        engine.cache._all.fill_(1e4)  # what others left behind
    read(engine, 0, 300, 1)
    torch.testing.assert_close(read(engine, 200, 201, 1)[0], logits_of(twin, TEXT)[200], **SAME)


@pytest.mark.parametrize("count", [1, 1 + CAPTURED_GUESSES])
def test_the_pass_with_a_fixed_window_gives_the_eager_logits(
    engine: Engine, twin: LlamaForCausalLM, count: int
) -> None:
    with torch.inference_mode():
        engine.cache._all.zero_()  # a graph's window reaches over what nobody wrote yet
    read(engine, 0, 200, 1)
    captured = Captured(engine.model, engine.cache)
    assert captured.takes(count)
    ids, positions = torch.zeros(count, dtype=torch.long), torch.zeros(count, dtype=torch.long)
    run = captured._fixed(ids, positions, SMALLEST_WINDOW)
    expected = logits_of(twin, TEXT)
    with torch.inference_mode():
        for start in range(200, SMALLEST_WINDOW + 1 - count, count):  # the same tensors, as a graph replays them
            ids.copy_(torch.tensor(TEXT[start : start + count]))
            positions.copy_(torch.arange(start, start + count))
            torch.testing.assert_close(run(), expected[start : start + count], **SAME)


def test_the_eager_way_goes_on_where_a_fixed_window_wrote(engine: Engine, twin: LlamaForCausalLM) -> None:
    with torch.inference_mode():
        engine.cache._all.zero_()
        read(engine, 0, 200, 1)
        Captured(engine.model, engine.cache)._fixed(torch.tensor(TEXT[200:205]), torch.arange(200, 205), 256)()
    torch.testing.assert_close(read(engine, 205, 210, 5), logits_of(twin, TEXT)[205:210], **SAME)


def test_graphs_are_only_for_the_two_numbers_of_rows_there_are_kernels_for(engine: Engine) -> None:
    captured = Captured(engine.model, engine.cache)
    assert [count for count in range(10) if captured.takes(count)] == [1, 5]


def test_a_working_cache_is_as_large_as_the_model_needs(tiny_model: LlamaForCausalLM) -> None:
    cache = WorkingCache(tiny_model.config, 50, torch.bfloat16, torch.device("cpu"))
    keys, values = cache.views(7)
    assert [len(keys), len(values)] == [3, 3]
    assert {view.shape for view in [*keys, *values]} == {(1, 2, 7, 16)}
    assert len({view.data_ptr() for view in [*keys, *values]}) == 6


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "quantize"), [("bfloat16", "nf4"), ("bfloat16", "none"), ("bfloat16", "int8")])
def test_graphs_on_a_gpu_say_what_generate_says(tiny_folder: Path, dtype: str, quantize: Quantize) -> None:
    engine, _ = load_engine(tiny_folder, dtype, quantize, quiet)
    twin = twin_of(engine.model)
    assert engine.reads_late
    assert bool(engine._captured) is (quantize != "int8")
    for prompt in (PROMPT, TEXT[:240], TEXT[:250]):  # the last two grow out of the first window
        said = speak(engine, prompt, Sampling(40))
        assert len(said) == 40
        assert lost(twin, prompt, said) <= 0.5
        again = speak(engine, [*prompt, *said, 5], GREEDY)
        assert lost(twin, [*prompt, *said, 5], again) <= 0.5


@pytest.mark.gpu
def test_guesses_on_a_gpu_are_checked_in_a_graph_of_five_rows(tiny_folder: Path) -> None:
    engine, _ = load_engine(tiny_folder, "float32", "none", quiet)
    twin = twin_of(engine.model)
    circle = [10, 11, 12, 13, 14, 15] * 30
    for prompt in (circle, [*circle, *reference(twin, circle)], TEXT[:240]):
        assert speak(engine, prompt, copies=True) == reference(twin, prompt)
    assert any(count == 1 + CAPTURED_GUESSES for count, _ in engine._captured._graphs)  # type: ignore[union-attr]


@pytest.mark.gpu
def test_guesses_on_a_gpu_never_reach_over_the_end_of_the_context(tiny_folder: Path) -> None:
    engine, _ = load_engine(tiny_folder, "float32", "none", quiet, context=48)
    twin = twin_of(engine.model)
    prompt = [10, 11, 12] * 8
    count = Count()
    assert speak(engine, prompt, Sampling(100), count=count, copies=True) == reference(twin, prompt, 24)
    assert count.generated == 24
