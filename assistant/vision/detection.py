"""Where the things a person names are in a picture, with OWLv2. Knows the role "detect" and no tool.

Source: Minderer, Gritsenko and Houlsby, "Scaling Open-Vocabulary Object Detection" (2023),
https://arxiv.org/abs/2306.09683; prompt and threshold from the model card,
https://huggingface.co/google/owlv2-base-patch16-ensemble
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.errors import Cancelled, ToolError
from assistant.residents import Weights, resident, retry_smaller
from assistant.types import Progress
from assistant.vision.boxes import Box, without_repeats

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPT = "a photo of a {}"
THRESHOLD = 0.1
OVERLAP = 0.5  # two boxes of one label that share more (IoU) are the same object
DETAIL = 2  # times the side of the square OWLv2 sees; what is finer is lost there, and slow to bring there


@dataclass(frozen=True, slots=True)
class Found:
    """An object: which query it answers, how sure the model is (0..1), and its box in pixels of the picture."""

    label: str
    score: float
    box: Box


@resident("detect")
def detector(weights: Weights, progress: Progress) -> Any:
    """Load OWLv2 with what prepares its pictures and queries: (processor, model)."""
    from transformers import Owlv2ForObjectDetection, Owlv2Processor

    return Owlv2Processor.from_pretrained(weights.path), weights.load(Owlv2ForObjectDetection)


def find(
    image: Image,
    queries: Sequence[str],
    threshold: float = THRESHOLD,
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> list[Found]:
    """Return the objects in `image` that answer to a query and score above `threshold` (0..1), best first.

    Each object answers to one query only, the nearest; of boxes with the same label that overlap by more than half
    (IoU), the best stays. `ToolError` names a query that is too long for the model.
    """
    import torch

    with detector(stop, progress) as (processor, model):
        _check_length(processor, model, queries)
        small = _reduced(image, DETAIL * model.config.vision_config.image_size)
        inputs = processor(text=[[PROMPT.format(query) for query in queries]], images=small, return_tensors="pt")
        if stop is not None and stop.is_set():
            raise Cancelled("Stopped.")
        progress(None, f"looking for {', '.join(queries)}")
        with torch.inference_mode():
            outputs = retry_smaller(lambda _: model(**inputs.to(model.device, model.dtype)))
        outputs.pred_boxes = outputs.pred_boxes.float()  # half precision cannot tell neighbouring pixels apart
        (seen,) = processor.post_process_grounded_object_detection(outputs, threshold, [small.size[::-1]])
    boxes, scores, labels = (seen[key].cpu().numpy() for key in ("boxes", "scores", "labels"))
    across, down = image.width / small.width, image.height / small.height
    boxes = (boxes * (across, down, across, down)).clip(0, image.size * 2)
    return [
        Found(queries[labels[row]], float(scores[row]), tuple(boxes[row].tolist()))
        for row in _distinct(boxes, scores, labels)
    ]


def _distinct(boxes: Any, scores: Any, labels: Any) -> list[int]:
    """Return the rows that are objects of their own, best first; OWLv2 also sees things in the padding."""
    import numpy as np

    inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
    kept: list[int] = []
    for label in np.unique(labels):
        rows = np.flatnonzero(inside & (labels == label))
        kept += rows[without_repeats(boxes[rows], scores[rows], OVERLAP)].tolist()
    return sorted(kept, key=lambda row: -scores[row])


def _check_length(processor: Any, model: Any, queries: Sequence[str]) -> None:
    most = model.config.text_config.max_position_embeddings
    for query in queries:
        if len(processor.tokenizer(PROMPT.format(query))["input_ids"]) > most:
            raise ToolError(f"{query!r} is too long to look for. Name the thing in a few words.")


def _reduced(image: Image, side: int) -> Image:
    """Shrink a picture whose longer side exceeds `side`.

    The processor pads to a square first: a strip of 1 x 20000 pixels would become 400 million.
    """
    if max(image.size) <= side:
        return image
    small = image.copy()
    small.thumbnail((side, side))
    return small
