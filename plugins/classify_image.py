"""Says which of some labels fits a picture: any labels with CLIP, the thousand of ImageNet with a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image as Pictures
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

from assistant.errors import ToolError
from assistant.residents import Weights, resident, retry_smaller
from assistant.tools import Run, tool
from assistant.vision.features import features, middle, zero_shot
from assistant.zerogpu import on_gpu

if TYPE_CHECKING:
    from assistant.types import Progress

MOST_LABELS = 100
NAMED, BARS = 3, 10  # of the best labels, in the sentence and in the chart
WIDTH, ROW, MARGIN, FONT = 720, 56, 24, 20  # of the chart, in pixels
INK, BAR, GROUND = (40, 40, 40), (66, 120, 200), (232, 232, 232)


@dataclass(frozen=True, slots=True)
class Classes:
    """A sentence, the labels as (label, probability in 0..1), best first, and a bar chart of at most ten.

    Of labels that the caller gave all are there, of the fixed ones the best ten.
    """

    text: str
    labels: tuple[tuple[str, float], ...]
    chart: Image


@resident("classify")
def classifier(weights: Weights, progress: Progress) -> Any:
    """Load the classifier the checkpoint holds (ViT, MobileViTv2 …) with what prepares its pictures."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    return AutoImageProcessor.from_pretrained(weights.path), weights.load(AutoModelForImageClassification)


@tool(needs=[features, classifier], illustrates=True)
@on_gpu(seconds=10)
def classify_image(image: Image, labels: tuple[str, ...] = (), *, run: Run) -> Classes:
    """Tell which label fits a picture best, out of given labels or, without any, out of a thousand everyday things.

    Args:
        image: The picture to classify.
        labels: Two to a hundred labels to choose from, such as ["cat", "dog"]; none for a thousand fixed ones.

    Examples:
        Which is it: a cat, a dog or a rabbit?
        What kind of animal is this?
        Sort this photo into indoors or outdoors.
    """
    if labels:
        labels = _checked(labels)
        ranked = _rank(labels, zero_shot(image, labels, run.stop, run.progress))
    else:
        ranked = _rank(*_classify(image, run))[:BARS]
    run.check()
    named = "; ".join(f"{label} ({share(p)})" for label, p in ranked[:NAMED])
    return Classes(f"Most likely: {named}.", ranked, draw_chart(ranked[:BARS]))


def _checked(labels: Sequence[str]) -> tuple[str, ...]:
    """Strip the labels, or say what is wrong with them."""
    stripped = tuple(label.strip() for label in labels)
    if len(stripped) > MOST_LABELS:
        raise ToolError(f"There are {len(stripped)} labels; give at most {MOST_LABELS}.")
    if "" in stripped:
        raise ToolError(f"Label {stripped.index('') + 1} is empty. Fill it in or leave it out.")
    if len(stripped) == 1:
        raise ToolError(f"{stripped[0]!r} is the only label. Give at least two to choose from, or none.")
    seen: set[str] = set()
    for label in stripped:
        if label.casefold() in seen:
            raise ToolError(f"The label {label!r} is there twice. Give each label once.")
        seen.add(label.casefold())
    return stripped


def _rank(labels: Sequence[str], probabilities: Sequence[float]) -> tuple[tuple[str, float], ...]:
    pairs = zip(labels, probabilities, strict=True)
    return tuple((label, round(p, 4)) for label, p in sorted(pairs, key=lambda pair: -pair[1]))


def _classify(image: Image, run: Run) -> tuple[list[str], list[float]]:
    """Return the fixed labels and their probabilities."""
    import torch

    with classifier(run.stop, run.report) as (processor, model):
        run.progress(None, "looking at the picture")
        cut = middle(image) if processor.do_center_crop else image
        pixels = processor(images=cut, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            logits = retry_smaller(lambda _: model(pixel_values=pixels.to(model.device, model.dtype)).logits)
        probabilities = logits[0].float().softmax(0)
        return [model.config.id2label[i] for i in range(len(probabilities))], probabilities.tolist()


def share(probability: float) -> str:
    """Write a probability for people: "93 %", or "< 1 %"."""
    return f"{100 * probability:.0f} %" if probability >= 0.01 else "< 1 %"


def draw_chart(ranked: Sequence[tuple[str, float]]) -> Image:
    """Draw a bar for each (label, probability), each with its label above and its share at the right."""
    chart = Pictures.new("RGB", (WIDTH, ROW * len(ranked) + MARGIN), "white")
    pen, font = ImageDraw.Draw(chart), ImageFont.load_default(FONT)
    longest = WIDTH - 2 * MARGIN
    for row, (label, probability) in enumerate(ranked):
        top = MARGIN // 2 + ROW * row
        percent = share(probability)
        room = longest - pen.textlength(f"  {percent}", font)
        pen.text((MARGIN, top), _shortened(label, room, pen, font), INK, font)
        pen.text((WIDTH - MARGIN, top), percent, INK, font, anchor="ra")
        bar = top + FONT + 8
        pen.rectangle((MARGIN, bar, MARGIN + longest - 1, bar + 15), GROUND)
        if filled := round(longest * probability):
            pen.rectangle((MARGIN, bar, MARGIN + filled - 1, bar + 15), BAR)
    return chart


def _shortened(label: str, room: float, pen: ImageDraw.ImageDraw, font: Any) -> str:
    """Cut a label that is wider than `room` pixels."""
    if pen.textlength(label, font) <= room:
        return label
    while pen.textlength(f"{label}…", font) > room:
        label = label[:-1]
    return f"{label}…"
