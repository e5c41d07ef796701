"""A typed, documented function becomes a tool: its schema, its argument check, and what is refused at start-up."""

from __future__ import annotations

import threading
from typing import Annotated, Literal

import pytest
from PIL.Image import Image
from pydantic import Field

from assistant.artifacts import Document
from assistant.errors import BadToolCall, Cancelled, PluginError
from assistant.tools import Run, tool
from assistant.types import Artifact
from tests.conftest import DEMO_TOOLS, count_letters, turn_image

PICTURES = [Artifact(f"image-{i}", "image", "image/png", f"{i}.png", "0" * 64, 1) for i in (1, 2)]
PAPER = Artifact("document-1", "document", "application/pdf", "paper.pdf", "1" * 64, 1)


class Shelf:
    """A service that the house would give."""


@tool(effects="writes", relevance=lambda request, *, shelf: len(request) / 100)
def paint(
    prompt: str,
    style: Literal["oil", "ink"] = "oil",
    steps: Annotated[int, Field(ge=1, le=50)] = 20,
    sketch: Image | None = None,
    paper: Annotated[Document | None, Field()] = None,
    *,
    shelf: Shelf,
    run: Run,
) -> Image:
    """Paint a picture.

    It takes a while.

    Args:
        prompt: What to paint.
        style: The manner.
        steps: How long to work on it.
        sketch: A picture to begin with.
        paper: A document to illustrate.

    Examples:
        Paint a lighthouse.
        draw me a cat
    """
    raise NotImplementedError


@tool
def compare(left: Annotated[Image, Field(examples=["image-1"])], right: Image) -> str:
    """Compare two pictures.

    Args:
        left: One picture.
        right: The other.
    """
    return "same"


@tool(any_file=True)
def weigh(question: str, picture: Image | None = None, paper: Document | None = None, page: int | None = None) -> str:
    """Weigh a picture or a paper.

    Args:
        question: What is wanted.
        picture: The picture.
        paper: The paper.
        page: The page.
    """
    return "light"


def without_docstring(text: str) -> str:
    return text


def without_hint(text) -> str:
    """Echo.

    Args:
        text: What to echo.
    """
    return text


def without_hint_of_service(text: str, *, shelf) -> str:
    """Echo.

    Args:
        text: What to echo.
    """
    return text


def without_description(text: str, loud: bool = False) -> str:
    """Echo.

    Args:
        text: What to echo.
    """
    return text


def with_a_description_too_many(text: str) -> str:
    """Echo.

    Args:
        text: What to echo.
        volume: How loud.
    """
    return text


def test_the_schema_comes_from_the_hints_and_the_docstring() -> None:
    schema = paint.parameters()
    assert schema["required"] == ["prompt"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["prompt"] == {"type": "string", "description": "What to paint."}
    style = {"type": "string", "enum": ["oil", "ink"], "default": "oil", "description": "The manner."}
    assert schema["properties"]["style"] == style
    assert schema["properties"]["steps"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 50,
        "default": 20,
        "description": "How long to work on it.",
    }


def test_what_the_house_gives_is_in_no_schema() -> None:
    assert set(paint.parameters()["properties"]) == {"prompt", "style", "steps", "sketch", "paper"}
    assert paint.given == {"shelf": Shelf, "run": Run}


def test_name_description_effects_and_examples_come_from_the_function() -> None:
    assert (paint.name, paint.effects, paint.on_upload) == ("paint", "writes", False)
    assert paint.description == "Paint a picture.\n\nIt takes a while."
    assert paint.examples == ("Paint a lighthouse.", "draw me a cat")
    assert (count_letters.effects, count_letters.examples) == ("none", ())


def test_an_artifact_parameter_is_an_enum_of_the_handles_alive() -> None:
    schema = turn_image.parameters([*PICTURES, PAPER])
    assert schema["properties"]["image"]["enum"] == ["image-1", "image-2"]
    assert schema["properties"]["image"]["x-artifact"] == "image"
    assert "enum" not in turn_image.parameters()["properties"]["image"]


def test_an_optional_artifact_may_be_null_and_its_string_is_an_enum() -> None:
    schema = paint.parameters([*PICTURES, PAPER])["properties"]
    for name, handles in (("sketch", ["image-1", "image-2"]), ("paper", ["document-1"])):
        assert schema[name]["anyOf"] == [{"type": "string", "enum": handles}, {"type": "null"}]
        assert schema[name]["default"] is None
    assert paint.artifacts == {"sketch": "image", "paper": "document"}


def test_an_annotated_artifact_is_still_an_artifact() -> None:
    assert compare.artifacts == {"left": "image", "right": "image"}
    assert compare.parameters(PICTURES)["properties"]["left"]["enum"] == ["image-1", "image-2"]


def test_a_tool_has_its_inputs_when_every_required_file_exists() -> None:
    assert compare.missing([PAPER]) == ("image",)
    assert compare.missing(PICTURES[:1]) == ()
    assert paint.missing([]) == () and count_letters.missing([]) == ()


def test_a_tool_that_takes_any_file_needs_one_of_a_kind_it_takes() -> None:
    assert set(weigh.missing([])) == {"image", "document"}
    assert weigh.missing(PICTURES) == weigh.missing([PAPER]) == weigh.missing([*PICTURES, PAPER]) == ()


def test_where_only_one_file_parameter_can_be_given_it_is_required_and_the_others_are_gone() -> None:
    schema = weigh.parameters([PAPER])
    assert schema["required"] == ["question", "paper"]
    assert list(schema["properties"]) == ["question", "paper", "page"]
    paper = {"type": "string", "enum": ["document-1"], "description": "The paper.", "x-artifact": "document"}
    assert schema["properties"]["paper"] == paper
    for schema in (weigh.parameters([*PICTURES, PAPER]), weigh.parameters()):
        assert schema["required"] == ["question"]
        assert list(schema["properties"]) == ["question", "picture", "paper", "page"]
    assert paint.parameters([PAPER])["required"] == ["prompt"]


def test_the_spec_binds_the_services_to_the_relevance() -> None:
    spec = paint.spec(PICTURES, {Shelf: Shelf()})
    assert spec.relevance is not None and spec.relevance("a lighthouse") == 0.12
    assert (spec.name, spec.examples) == ("paint", paint.examples)
    assert spec.parameters == paint.parameters(PICTURES)
    assert count_letters.spec([], {}).relevance is None


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (without_docstring, "it has no docstring"),
        (without_hint, "parameter 'text' has no type hint"),
        (without_hint_of_service, "parameter 'shelf' has no type hint"),
        (without_description, "parameter 'loud' has no line under Args:"),
        (with_a_description_too_many, "Args: describes 'volume', which is no parameter"),
    ],
)
def test_a_tool_is_refused_naming_file_function_and_parameter(function, problem: str) -> None:
    with pytest.raises(PluginError) as refused:
        tool(function)
    sentence = str(refused.value)
    assert __file__ in sentence and f"{function.__name__}: " in sentence and problem in sentence


def test_arguments_are_completed_with_the_defaults() -> None:
    given = {"prompt": "  a cat ", "sketch": None}
    assert paint.check(given) == {"prompt": "a cat", "style": "oil", "steps": 20, "sketch": None, "paper": None}


def test_what_only_looks_wrong_is_converted() -> None:
    assert turn_image.check({"image": "image-1", "degrees": "12"})["degrees"] == 12
    assert turn_image.check({"image": "image-1", "degrees": 12.0})["degrees"] == 12


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "'prompt' is missing"),
        ({"prompt": "x", "colour": "red"}, "there is no argument 'colour'"),
        ({"prompt": 7}, "'prompt' is 7: input should be a valid string"),
        ({"prompt": "x", "steps": "many"}, "'steps' is 'many': input should be a valid integer"),
        ({"prompt": "x", "steps": 51}, "'steps' is 51: input should be less than or equal to 50"),
        ({"prompt": "x", "style": "chalk"}, "'style' is 'chalk': input should be 'oil' or 'ink'"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(BadToolCall) as refused:
        paint.check(arguments)
    sentence = str(refused.value)
    assert sentence.startswith("paint: ") and complaint in sentence
    assert sentence.endswith("Its arguments are: prompt, style, steps, sketch, paper.")


def test_every_wrong_argument_is_told_at_once() -> None:
    with pytest.raises(BadToolCall, match=r"'prompt' is missing; 'steps' is 0.*; there is no argument 'colour'"):
        paint.check({"steps": 0, "colour": "red"})


def test_a_run_tells_progress_until_it_is_stopped() -> None:
    told: list[tuple[float | None, str]] = []
    run = Run(0, threading.Event(), lambda fraction, note: told.append((fraction, note)), lambda jpeg: None)
    run.progress(0.5, "half")
    run.stop.set()
    for look in (run.check, lambda: run.progress(0.9)):
        with pytest.raises(Cancelled):
            look()
    assert told == [(0.5, "half")]


def test_the_demo_tools_are_tools() -> None:
    assert [demo.name for demo in DEMO_TOOLS] == ["turn_image", "count_letters", "break_down"]
