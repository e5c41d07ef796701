"""A local model with a chat template of its own: it says words, then calls in its own form, and hears the result."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaForCausalLM

from assistant import llama, residents
from assistant.catalog import Catalog, Machine
from assistant.formats.template import ChatTemplate
from assistant.llama import LlamaChat
from assistant.settings import Settings
from assistant.types import Message, ToolCall, ToolResult
from tests.engine.conftest import tiny_model  # noqa: F401
from tests.formats.test_template import SPECS, make, mistral_small
from tests.test_llama import Stage, say, usage_of, words_of


@pytest.fixture
def stage_of(
    tiny_model: LlamaForCausalLM,  # noqa: F811
    settings: Settings,
    tmp_path: Path,
) -> Iterator[Callable[[str], Stage]]:
    def put_up(name: str) -> Stage:
        tokenizer = make(name) if name != "small" else make("mistral", mistral_small())
        model = copy.deepcopy(tiny_model)
        model.config.max_position_embeddings = 8192
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        table = tmp_path / "catalog.toml"
        source = f'source = "local:{tmp_path / name}"'
        table.write_text(f'[chat.embedded]\nname = "{name}"\n{source}\ndtype = "float32"\nbytes = 1\nlicence = "-"\n')
        mine = settings.model_copy(update={"max_new_tokens": 200})
        residents.install(mine).catalog = Catalog(mine, Machine(False, 10**12), table)
        residents.load("chat", lambda fraction, note: None)
        with llama.speaker() as speaker:
            stage = Stage(LlamaChat(mine), mine, speaker)
        stage.eot = tokenizer.eos_token_id
        return stage

    yield put_up
    residents.install(settings.model_copy(update={"seed": 98}))


def script(stage: Stage, *parts: str | int) -> None:
    """Let the model say text letter by letter, and control tokens by their ids."""
    ids: list[int] = []
    for part in parts:
        ids += [part] if isinstance(part, int) else stage.letters(part)
    stage.scripts.append([*ids, stage.eot])


@pytest.mark.parametrize("name", ["qwen", "mistral", "small"])
@pytest.mark.parametrize("words", ["", "I count. "])
def test_a_call_in_the_models_own_form_is_made_and_told(
    name: str, words: str, stage_of: Callable[[str], Stage]
) -> None:
    stage = stage_of(name)
    template = stage.speaker.family
    assert isinstance(template, ChatTemplate) and template.style is not None
    style = template.style
    parts = (*style.before, "count_letters", *style.between, '{"text": "lamp"}', *style.behind)
    script(stage, words, *("abc123XYZ" if part is None else part for part in parts))
    script(stage, "the user")
    first = stage.talk(say("Count."), tools=SPECS)
    (call,) = [part for part in first if isinstance(part, ToolCall)]
    assert (call.name, call.arguments) == ("count_letters", {"text": "lamp"})
    assert words_of(first) == words
    told: list[Any] = [say("Count."), Message("a", None, "assistant", words, calls=(call,))]
    told.append(Message("t", None, "tool", result=ToolResult(call, "4")))
    second = stage.talk(*told, tools=SPECS)
    assert words_of(second) == "the user"
    text = stage.speaker.tokenizer.decode(stage.prompts[1])
    assert text.index('"lamp"') < text.rindex("4")
    assert usage_of(second).reused_tokens >= len(stage.prompts[0]) - 1


def test_what_such_a_model_said_is_not_encoded_anew(stage_of: Callable[[str], Stage]) -> None:
    stage = stage_of("qwen")
    stage.script("the user", "fine")
    stage.talk(say("Who?"))
    second = stage.talk(say("Who?"), Message("a", None, "assistant", "the user"), say("And?"))
    kept = [*stage.prompts[0], *stage.letters("the user")]
    assert stage.prompts[1][: len(kept)] == kept
    assert usage_of(second).reused_tokens == len(kept)
