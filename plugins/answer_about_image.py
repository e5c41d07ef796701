"""Answers a question about a picture with a word or two, with ViLT.

Source: Kim et al., "ViLT: Vision-and-Language Transformer Without Convolution or Region Supervision" (2021),
https://arxiv.org/abs/2102.03334
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from PIL import Image as Pictures
from PIL.Image import Image
from pydantic import Field

from assistant.errors import ToolError
from assistant.residents import Weights, resident, retry_smaller
from assistant.tools import Run, tool
from assistant.zerogpu import on_gpu

if TYPE_CHECKING:
    from assistant.types import Progress

BEST = 5
GREY = (127, 127, 127)  # what the processor pads with, before it normalizes


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentence, the best answer in it, and the best five as (answer, probability in 0..1), best first."""

    text: str
    answer: str
    scores: tuple[tuple[str, float], ...]


@resident("vqa")
def answerer(weights: Weights, progress: Progress) -> Any:
    """Load ViLT with what prepares its pictures and questions: (processor, model)."""
    from transformers import ViltForQuestionAnswering, ViltProcessor

    return ViltProcessor.from_pretrained(weights.path), weights.load(ViltForQuestionAnswering)


@tool(needs=[answerer])
@on_gpu(seconds=10)
def answer_about_image(image: Image, question: Annotated[str, Field(min_length=1)], *, run: Run) -> Answer:
    """Answer a question about a picture in a word or two: what, which, where, how many, what color, is there.

    Args:
        image: The picture the question is about.
        question: The question, in English.

    Examples:
        How many people are in the photo?
        What color is the car?
        Is it raining there?
    """
    with answerer(run.stop, run.report) as (processor, model):
        run.progress(None, "looking at the picture")
        probabilities = _ask(processor, model, image, question)
        best = probabilities.topk(min(BEST, len(probabilities)))
        labels = [model.config.id2label[index] for index in best.indices.tolist()]
        # training writes where to abstain into the checkpoint, measured on pictures it did not train on
        abstain_below = getattr(model.config, "abstain_below", None)
    run.check()
    scores = tuple((label, round(p, 4)) for label, p in zip(labels, best.values.tolist(), strict=True))
    sure = abstain_below is None or best.values[0].item() >= abstain_below
    text = f"{labels[0][:1].upper()}{labels[0][1:]}." if sure else f"I am not sure; my best guess is {labels[0]}."
    return Answer(text, labels[0], scores)


def _ask(processor: Any, model: Any, image: Image, question: str) -> Any:
    """Return the probability of every answer the model knows.

    Each stands for itself and they do not sum to 1: in VQA several answers may be right, so the head is trained with
    binary cross-entropy per answer (section 4.2 of the paper, `ViltForQuestionAnswering.forward`).
    """
    import torch

    tokens = processor.tokenizer(question, return_tensors="pt")
    limit = model.config.max_position_embeddings
    if tokens["input_ids"].shape[1] > limit:
        raise ToolError(f"The question is too long: it may have about {limit // 2} words. Ask it shorter.")
    patches = processor.image_processor.size["shortest_edge"] // processor.image_processor.size_divisor
    pixels = processor.image_processor(_padded(image, patches), return_tensors="pt")
    pixels["pixel_values"] = pixels["pixel_values"].to(model.dtype)
    with torch.inference_mode():
        logits = retry_smaller(lambda _: model(**tokens.to(model.device), **pixels.to(model.device)).logits)
    return logits[0].float().sigmoid().cpu()


def _padded(image: Image, longest: int) -> Image:
    """Put a strip on a grey ground, so that its long side is at most `longest` times its short one.

    The processor bounds the long side and would shrink the short side of a longer strip to less than a patch.
    """
    width, height = image.size
    across, down = max(width, -(-height // longest)), max(height, -(-width // longest))
    if (across, down) == image.size:
        return image
    ground = Pictures.new("RGB", (across, down), GREY)
    ground.paste(image, ((across - width) // 2, (down - height) // 2))
    return ground
