"""Which pixels belong to an object, with SAM. Knows the role "segment" and no tool.

Source: Kirillov et al., "Segment Anything" (2023), https://arxiv.org/abs/2304.02643
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.errors import Cancelled, ToolError
from assistant.residents import Weights, resident, retry_smaller
from assistant.types import Progress
from assistant.vision.batches import in_batches
from assistant.vision.boxes import Box, without_repeats
from assistant.vision.palette import colour

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

BATCH = 16  # prompts at once
# How everything in a picture is found: appendix B of the paper, and transformers' pipeline for mask generation.
GRID = 32  # points along each side
LEAST_IOU = 0.88  # predicted
LEAST_STABILITY = 0.95
STABILITY_SHIFT = 1.0  # of the threshold on the logits, up and down
MOST_COVERED = 0.95  # of the picture; what covers more is no object
OVERLAP = 0.7  # IoU of the boxes of two masks of the same object


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The pixels of one object in a picture of `size` (width, height).

    `box` (left, top, right, bottom) is the smallest around them, `inside` is bool of shape (bottom - top,
    right - left), and `score` is the IoU that SAM expects of the mask, about 0..1. Outside the box nothing is kept:
    50 whole masks of a large picture would take gigabytes.
    """

    box: tuple[int, int, int, int]
    inside: np.ndarray
    size: tuple[int, int]
    score: float

    @property
    def area(self) -> int:
        """Return the number of pixels; 0 where SAM saw nothing."""
        return int(self.inside.sum())

    @property
    def mask(self) -> np.ndarray:
        """Return the mask of the whole picture, bool of shape (height, width)."""
        import numpy as np

        left, top, right, bottom = self.box
        whole = np.zeros(self.size[::-1], bool)
        whole[top:bottom, left:right] = self.inside
        return whole


@resident("segment")
def segmenter(weights: Weights, progress: Progress) -> Any:
    """Load SAM with what prepares its pictures and prompts: (processor, model)."""
    from transformers import SamModel, SamProcessor

    return SamProcessor.from_pretrained(weights.path), weights.load(SamModel)


def masks_for_boxes(
    image: Image,
    boxes: Sequence[Box],
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> list[Mask]:
    """Return the mask of the main object in each box (pixels), in their order; `Cancelled` between batches on `stop`.

    A box is hardly ambiguous, so SAM gives one mask for it instead of three, as in its authors' own examples.
    """
    prompts = {"input_boxes": [[list(box) for box in boxes]]}
    with segmenter(stop, progress) as (processor, model):
        scene = _Scene(processor, model, image, prompts, stop, progress)
        return [scene.mask(logits[0], float(scores[0])) for logits, scores in scene.answers(ambiguous=False)]


def mask_at_point(
    image: Image,
    point: tuple[float, float],
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> Mask:
    """Return the best of SAM's masks (whole, part, subpart) of what is at `point` (x, y), in pixels."""
    with segmenter(stop, progress) as (processor, model):
        scene = _Scene(processor, model, image, {"input_points": [[[list(point)]]]}, stop, progress)
        ((logits, scores),) = scene.answers(ambiguous=True)
        best = int(scores.argmax())
        return scene.mask(logits[best], float(scores[best]))


def all_masks(
    image: Image,
    most: int,
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> list[Mask]:
    """Return the masks of everything in the picture, at most `most`, best first; `Cancelled` between batches.

    A grid of points, each with three masks, of which those stay that SAM is sure of and that hardly change with the
    threshold; of masks whose boxes overlap, the best. All this is measured on the masks as SAM gives them, a quarter
    of its input's size, so that a large picture takes no more memory; only what is left is scaled up.
    """
    import numpy as np

    steps = [(step + 0.5) / GRID for step in range(GRID)]
    points = [[[x * image.width, y * image.height]] for y in steps for x in steps]
    with segmenter(stop, progress) as (processor, model):
        scene = _Scene(processor, model, image, {"input_points": [points]}, stop, progress)
        sure = [
            (float(score), mask.clone())
            for logits, scores in scene.answers(ambiguous=True)
            for mask, score in zip(logits, scores, strict=True)
            if score > LEAST_IOU and _is_an_object(scene.seen(mask))
        ]
        boxes = np.array([_box(scene.seen(mask).numpy() > 0) for _, mask in sure]).reshape(-1, 4)
        kept = without_repeats(boxes, np.array([score for score, _ in sure]), OVERLAP)
        masks = (scene.mask(sure[row][1], sure[row][0]) for row in kept[:most])
        return [mask for mask in masks if mask.area]


def draw_masks(image: Image, masks: Sequence[Mask]) -> Image:
    """Return `image` with every mask tinted in a colour of its own, the large ones below the small ones."""
    import numpy as np
    from PIL import Image as Pictures

    pixels = np.array(image.convert("RGB"))
    for number, mask in sorted(enumerate(masks), key=lambda pair: -pair[1].area):
        left, top, right, bottom = mask.box
        part = pixels[top:bottom, left:right]
        part[mask.inside] = part[mask.inside] // 2 + np.array(colour(number), np.uint8) // 2
    return Pictures.fromarray(pixels)


class _Scene:
    """A picture as SAM sees it, embedded once, and the prompts to answer for it."""

    def __init__(
        self,
        processor: Any,
        model: Any,
        image: Image,
        prompts: dict[str, Any],
        stop: threading.Event | None,
        progress: Progress,
    ) -> None:
        import torch

        side = processor.image_processor.size["longest_edge"]
        if max(image.size) > 2 * side * min(image.size):  # the processor would scale it to a height of 0
            raise ToolError(
                f"The picture is {image.width} x {image.height} pixels, too narrow to cut anything out. "
                "Give one that is less narrow."
            )
        inputs = processor(images=image, return_tensors="pt", **prompts)
        self._processor, self._model, self._size = processor, model, image.size
        self._stop, self._progress = stop, progress
        self._original, self._resized = inputs["original_sizes"], inputs["reshaped_input_sizes"]
        self._prompts = {name: inputs[name].to(model.device, torch.float32) for name in prompts}
        self._tell(None, "looking at the picture")
        pixels = inputs["pixel_values"]
        self._embedding = retry_smaller(lambda _: model.get_image_embeddings(pixels.to(model.device, model.dtype)))

    def answers(self, ambiguous: bool) -> Iterator[tuple[Any, Any]]:
        """Yield for each prompt logits (masks, height, width) and predicted IoU (masks,): three if `ambiguous`, or one.

        `Cancelled` between batches when the person pressed Stop.
        """
        import torch

        (prompts,) = {values.shape[1] for values in self._prompts.values()}

        def answer(places: Sequence[int]) -> tuple[Any, Any]:
            self._progress(places[0] / prompts, "cutting out")
            batch = {name: values[:, places] for name, values in self._prompts.items()}
            with torch.inference_mode():
                out = self._model(image_embeddings=self._embedding, multimask_output=ambiguous, **batch)
            return out.pred_masks[0].float().cpu(), out.iou_scores[0].float().cpu()

        for masks, scores in in_batches(list(range(prompts)), BATCH, answer, self._stop):
            yield from zip(masks, scores, strict=True)

    def seen(self, logits: Any) -> Any:
        """Return the part of a mask as SAM gives it that is the picture, without the padding."""
        padded = self._processor.image_processor.pad_size
        height, width = self._resized[0].tolist()
        rows, columns = logits.shape
        return logits[: math.ceil(rows * height / padded["height"]), : math.ceil(columns * width / padded["width"])]

    def mask(self, logits: Any, score: float) -> Mask:
        """Scale a mask as SAM gives it to the picture and cut it to its box; `Cancelled` when Stop was pressed."""
        self._go_on()
        (whole,) = self._processor.image_processor.post_process_masks(
            [logits[None, None]], self._original, reshaped_input_sizes=self._resized
        )
        inside = whole[0, 0].numpy()
        left, top, right, bottom = box = _box(inside)
        return Mask(box, inside[top:bottom, left:right].copy(), self._size, score)

    def _tell(self, fraction: float | None, note: str) -> None:
        self._go_on()
        self._progress(fraction, note)

    def _go_on(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise Cancelled("Stopped.")


def _is_an_object(logits: Any) -> bool:
    """Tell whether a mask (height, width) is stable, not empty, and not all of the picture."""
    inner, area, outer = (int((logits > limit).sum()) for limit in (STABILITY_SHIFT, 0, -STABILITY_SHIFT))
    return 0 < area <= MOST_COVERED * logits.numel() and inner > LEAST_STABILITY * outer


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the smallest box (left, top, right, bottom) around a mask; (0, 0, 0, 0) around none."""
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
