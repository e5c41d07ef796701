"""What the adapter learns from: requests whose arguments they contain, packed so that none sees another."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from assistant.chat_format import CHATML
from assistant.choosing.text import REPLY, RESULT
from tests.engine.conftest import tiny_model  # noqa: F401
from tests.test_llama import CHATML_CONTROL, tokenizer_of
from training.tool_choice import nearness, train
from training.tool_choice.batches import IGNORED, collate, encode_pack
from training.tool_choice.casts import builtin_specs
from training.tool_choice.examples import Example, Pack, Writer
from training.tool_choice.pool import draw_request, read_lines, read_pool
from training.tool_choice.spelling import misspell


def directions(texts: Sequence[str]) -> np.ndarray:
    """Return a unit vector for each text, the same every time: nothing is near to anything."""
    seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
    vectors = np.stack([np.random.default_rng(seed).normal(size=64) for seed in seeds]).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture(scope="module")
def writer() -> Writer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearness, "embed", directions)
        return Writer(seed=3)


@pytest.fixture(scope="module")
def packs(writer: Writer) -> list[Pack]:
    return [writer.write(number) for number in range(150)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return tokenizer_of(CHATML_CONTROL, "<|im_end|>")


def split(example: Example) -> tuple[str, dict[str, object]]:
    name, _, arguments = example.answer.partition("\n")
    return name, json.loads(arguments)


def test_the_built_in_tools_of_the_pool_are_those_of_the_house() -> None:
    pool = {tool.name: tool for tool in read_pool() if tool.builtin}
    specs = builtin_specs()
    assert set(pool) == set(specs)
    for name, tool in pool.items():
        assert set(tool.arguments) <= set(specs[name].parameters["properties"])
        files = {key for key, schema in specs[name].parameters["properties"].items() if "x-artifact" in schema}
        assert {key for key, argument in tool.arguments.items() if argument.is_file} <= files


def test_the_arguments_of_a_request_stand_in_it() -> None:
    rng = random.Random(0)
    for tool in read_pool():
        for voice, request in tool.requests:
            said = draw_request(voice, request, rng)
            for name, value in said.arguments.items():
                if voice.arguments[name].kind == "text" and not voice.arguments[name].made_of:
                    assert value in said.text, (tool.name, request)


def test_misspelt_requests_still_contain_their_arguments() -> None:
    rng = random.Random(1)
    for tool in read_pool():
        voice, request = tool.requests[0]
        texts = [name for name, argument in voice.arguments.items() if argument.kind == "text"]
        for _ in range(5):
            said = misspell(draw_request(voice, request, rng), texts, (), rng)
            stands = [n for n in texts if not voice.arguments[n].made_of]
            assert all(said.arguments[name] in said.text for name in stands if name in said.arguments)


def test_the_same_number_is_the_same_pack_and_another_is_not(writer: Writer, packs: list[Pack]) -> None:
    assert writer.write(7) == packs[7] != packs[8]


def test_every_answer_is_a_listed_tool_or_none(packs: list[Pack]) -> None:
    replies = 0
    for pack in packs:
        listed = {line.partition("(")[0] for line in pack.tools.splitlines()[1:-1]}
        for example in pack.examples:
            name, arguments = split(example)
            assert name in listed or (name, arguments) == (REPLY, {})
            replies += name == REPLY
    assert 0.25 < replies / (len(packs) * len(packs[0].examples)) < 0.5


def test_texts_of_answers_are_words_of_what_is_asked(packs: list[Pack]) -> None:
    values = [
        (str(value), example.asked)
        for pack in packs
        for example in pack.examples
        for value in split(example)[1].values()
        if isinstance(value, str) and value != RESULT
    ]
    inside = sum(" ".join(value.split()) in asked for value, asked in values)
    assert inside / len(values) > 0.75  # the others are choices, and changes of earlier arguments
    assert any(RESULT in example.answer for pack in packs for example in pack.examples)


def test_no_request_of_a_listed_tool_is_called_talk(writer: Writer) -> None:
    lines = {line for key in ("lines", "knowledge") for line in read_lines("talk", key)}
    requests = {request for tool in read_pool() for _, request in tool.requests}
    assert lines.isdisjoint(requests)


def test_a_request_sees_the_list_and_itself_and_learns_only_its_answer(tokenizer: PreTrainedTokenizerFast) -> None:
    pack = Pack("list of tools", (Example("one request", 'a_tool\n{"x": 1}'), Example("other", "reply\n{}")))
    item = encode_pack(pack, tokenizer, CHATML)
    batch = collate([item])
    segments = torch.tensor(item["segments"])
    ids, labels, mask = batch["input_ids"][0], batch["labels"][0], batch["attention_mask"][0, 0]
    learned = [tokenizer.decode(labels[(segments == n) & (labels != IGNORED)]) for n in (1, 2)]
    assert learned == ['a_tool\n{"x": 1}<|im_end|>', "reply\n{}<|im_end|>"]
    assert (labels[segments == 0] == IGNORED).all() and (ids[labels != IGNORED] == labels[labels != IGNORED]).all()
    sees = mask == 0
    for row in range(len(ids)):
        seen = {int(segments[column]) for column in range(len(ids)) if sees[row, column]}
        assert seen <= {0, int(segments[row])} and not sees[row, row + 1 :].any()
    starts = [int(batch["position_ids"][0][segments == n][0]) for n in (1, 2)]
    assert starts == [int((segments == 0).sum())] * 2
    names = batch["weights"][0][(segments == 2) & (labels != IGNORED)]
    assert names[0] > names[-1] > 0


def test_packs_of_different_lengths_are_padded_with_what_nobody_sees(tokenizer: PreTrainedTokenizerFast) -> None:
    packs = [Pack("list", (Example("a", "reply\n{}"),)), Pack("a longer list", (Example("request", "reply\n{}"),))]
    short, long = (encode_pack(pack, tokenizer, CHATML) for pack in packs)
    batch = collate([short, long])
    length = len(short["ids"])
    assert (batch["labels"][0, length:] == IGNORED).all() and (batch["weights"][0, length:] == 0).all()
    assert (batch["attention_mask"][0, 0, :length, length:] != 0).all()


def test_a_training_stops_goes_on_and_ships_an_adapter(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_model: LlamaForCausalLM,  # noqa: F811
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    tiny_model.save_pretrained(tmp_path / "base")
    monkeypatch.setattr(nearness, "embed", directions)

    def load() -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
        path = tmp_path / "base"
        return tokenizer, LlamaForCausalLM.from_pretrained(path, dtype=torch.bfloat16, attn_implementation="eager")

    for name, value in {"load": load, "STEPS": 3, "LOGGED": 1, "SHIPPED": tmp_path / "shipped"}.items():
        monkeypatch.setattr(train, name, value)
    calibrated: list[Path] = []
    monkeypatch.setattr(train, "train_head", lambda folder: None)
    monkeypatch.setattr(train, "calibrate", calibrated.append)
    train.train(tmp_path / "work", minutes=0)
    assert [path.name for path in (tmp_path / "work").glob("checkpoint-*")] == ["checkpoint-1"]
    assert not calibrated
    train.train(tmp_path / "work", minutes=5)
    assert calibrated == [tmp_path / "shipped"]
    adapter = PeftModel.from_pretrained(load()[1], str(tmp_path / "shipped"))
    moved = [weight for name, weight in adapter.named_parameters() if "lora_B" in name]
    assert moved and any(bool(weight.abs().max() > 0) for weight in moved)
