"""Says what a picture shows, with BLIP-2 or BLIP."""

from __future__ import annotations

from typing import Annotated

from PIL.Image import Image
from pydantic import Field

from assistant.errors import ToolError
from assistant.tools import Run, tool
from assistant.vision.captions import captioner, describe
from assistant.zerogpu import on_gpu

look = on_gpu(seconds=15)(describe)


@tool(needs=[captioner], on_upload=True)
def describe_image(image: Image, max_words: Annotated[int, Field(ge=5, le=100)] = 40, *, run: Run) -> str:
    """Describe what a picture shows, in one sentence.

    Args:
        image: The picture to describe.
        max_words: The most words wanted.

    Examples:
        What can be seen here?
        Put this photo into words for someone who cannot see it.
        Give me a short caption.
    """
    run.progress(None, "looking at the picture")
    (sentence,) = look([image], max_words, run.stop, run.progress)
    if not sentence:
        raise ToolError("No words were found for this picture. Ask a question about it instead, or try a larger one.")
    run.describe(image, sentence)
    return sentence
