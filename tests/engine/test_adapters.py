"""LoRA adapters: each request speaks with its own weights, and nobody's keys and values are taken for another's."""

from __future__ import annotations

import copy
import random
import threading
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.engine.decode import Count, Engine
from assistant.engine.grammar import Vocabulary
from assistant.engine.load import load_engine
from assistant.engine.packed import PackedLinear
from assistant.engine.sample import Sampling
from tests.engine.conftest import PROMPT, lost, quiet, reference, speak, twin_of

LONG = [(7 * i) % 256 for i in range(150)]


@pytest.fixture(scope="module")
def adapters(tiny_model: LlamaForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters of other layers and other widths, that change what is said."""
    folder = tmp_path_factory.mktemp("adapters")
    for seed, (name, layers, width) in enumerate([("x", ["q_proj", "v_proj"], 4), ("y", ["down_proj", "v_proj"], 8)]):
        torch.manual_seed(seed)
        config = LoraConfig(r=width, lora_alpha=16, target_modules=layers, task_type="CAUSAL_LM")
        model = get_peft_model(copy.deepcopy(tiny_model), config)
        for key, weight in model.named_parameters():
            if "lora_B" in key:
                nn.init.normal_(weight, std=0.1)
        model.save_pretrained(folder / name)
    return {"x": folder / "x", "y": folder / "y"}


@pytest.fixture(scope="module")
def twins(tiny_model: LlamaForCausalLM, adapters: dict[str, Path]) -> dict[str | None, LlamaForCausalLM]:
    """What PEFT makes of the tiny model: alone, with one adapter, with the other."""
    made = {name: PeftModel.from_pretrained(twin_of(tiny_model), str(folder)) for name, folder in adapters.items()}
    return {None: twin_of(tiny_model), **{name: model.eval() for name, model in made.items()}}


@pytest.fixture(scope="module")
def loaded(tiny_folder: Path, adapters: dict[str, Path]) -> Engine:
    return load_engine(tiny_folder, "float32", "none", quiet, adapters=adapters)[0]


@pytest.fixture
def engine(loaded: Engine) -> Engine:
    return Engine(loaded.model)


def test_each_request_speaks_with_the_adapter_it_asks_for(
    engine: Engine, twins: dict[str | None, LlamaForCausalLM]
) -> None:
    engine._adapter = "unknown yet"  # another engine of these tests may have left one switched on
    expected = {name: reference(twin, PROMPT) for name, twin in twins.items()}
    assert len({tuple(ids) for ids in expected.values()}) == 3
    for name in (None, "x", "y", None, "y", "x", None):
        assert speak(engine, PROMPT, adapter=name) == expected[name]


def test_an_engine_begins_without_an_adapter(
    tiny_folder: Path, adapters: dict[str, Path], twins: dict[str | None, LlamaForCausalLM]
) -> None:
    engine, _ = load_engine(tiny_folder, "float32", "none", quiet, adapters=adapters)
    assert speak(engine, PROMPT) == reference(twins[None], PROMPT)


def test_what_one_read_is_never_reused_by_another(engine: Engine, twins: dict[str | None, LlamaForCausalLM]) -> None:
    reused = {}
    for turn in range(2):
        for name, twin in twins.items():
            count = Count()
            said = speak(engine, LONG, adapter=name, count=count)
            assert said == reference(twin, LONG)
            reused[turn, name] = count.reused
    assert reused == {(turn, name): turn * (len(LONG) - 1) for turn in range(2) for name in twins}


def test_replies_with_different_adapters_may_go_on_by_turns(
    engine: Engine, tiny_tokenizer: PreTrainedTokenizerFast, twins: dict[str | None, LlamaForCausalLM]
) -> None:
    names = ["x", None, "y", "x"]
    prompts = [LONG, LONG, [*LONG, 1], PROMPT]
    said: list[list[int]] = [[] for _ in names]
    vocabulary = Vocabulary(tiny_tokenizer, 320)
    rule = 'start: /[a-z]{12}/ ", forced."'
    ruled = Sampling(40, temperature=1.0)
    alone = speak(engine, PROMPT, ruled, adapter="x", constraint=vocabulary.constraint(rule))
    streams = [
        engine.stream(prompt, Sampling(10), frozenset(), threading.Event(), Count(), adapter=name)
        for prompt, name in zip(prompts[:3], names, strict=False)
    ]
    rules = vocabulary.constraint(rule)
    streams.append(engine.stream(PROMPT, ruled, frozenset(), threading.Event(), Count(), rules, adapter="x"))
    chance, going = random.Random(1), [0, 1, 2, 3]
    while going:
        turn = chance.choice(going)
        batch = next(streams[turn], None)
        if batch is None:
            going.remove(turn)
        else:
            said[turn] += batch
    assert said[:3] == [reference(twins[names[i]], prompts[i], 10) for i in range(3)]
    assert said[3] == alone


def test_an_adapter_that_is_not_there_is_refused_by_name_and_the_rest_goes_on(
    engine: Engine, tiny_model: LlamaForCausalLM
) -> None:
    alone = speak(engine, PROMPT, adapter="x")
    going = engine.stream(PROMPT, Sampling(24), frozenset(), threading.Event(), Count(), adapter="x")
    said = [*next(going), *next(going)]
    with pytest.raises(ValueError, match="there is no adapter 'z'; there are: x, y"):
        speak(engine, PROMPT, adapter="z")
    assert [*said, *(token for batch in going for token in batch)] == alone
    with pytest.raises(ValueError, match="there is no adapter 'x'; there are: none"):
        speak(Engine(copy.deepcopy(tiny_model)), PROMPT, adapter="x")


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU the layers are those of bitsandbytes")
@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_packing_leaves_the_adapters_as_they_are(
    tiny_folder: Path, adapters: dict[str, Path], quantize: str, tiny_model: LlamaForCausalLM
) -> None:
    engine, _ = load_engine(tiny_folder, "bfloat16", quantize, quiet, adapters=adapters)  # type: ignore[arg-type]
    layers = dict(engine.model.named_modules())
    lora = [name for name in layers if ".lora_A." in name or ".lora_B." in name]
    assert len(lora) == 3 * 4 * 2
    assert all(isinstance(layers[name], nn.Linear) for name in lora)
    assert sum(isinstance(layer, PackedLinear) for layer in layers.values()) == 3 * 7 + 1
    for name in ("x", None, "y"):
        said = speak(engine, PROMPT, Sampling(8), adapter=name)
        twin = twin_of(engine.model)  # with the adapter that is switched on
        assert lost(twin, PROMPT, said) <= 0.5
    assert speak(engine, PROMPT, Sampling(8), adapter="x") != speak(engine, PROMPT, Sampling(8))
