"""Pictures and sentences as points of one space, with CLIP: near means alike. Knows the role "features" and no index.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021),
https://arxiv.org/abs/2103.00020
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from assistant.residents import Weights, resident
from assistant.types import Progress
from assistant.vision.batches import in_batches
from assistant.zerogpu import on_gpu

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

BATCH = 16
PROMPT = "a photo of a {}"  # section 3.1.4 of the paper: a label alone is unlike the sentences CLIP was trained on
LONGEST = 2  # times the short side; CLIP looks at the middle square only


@resident("features")
def features(weights: Weights, progress: Progress) -> Any:
    """Load CLIP with what prepares its pictures and sentences: (processor, model)."""
    from transformers import CLIPModel, CLIPProcessor

    return CLIPProcessor.from_pretrained(weights.path), weights.load(CLIPModel)


@on_gpu(seconds=15)
def embed_images(
    images: Sequence[Image],
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> np.ndarray:
    """Return unit vectors of pictures, (len(images), dimensions) float32; `Cancelled` between batches on `stop`."""
    with features(stop, progress) as (processor, model):
        return _vectors(images, lambda batch: _look(processor, model, batch), model, stop, progress)


@on_gpu(seconds=15)
def embed_texts(
    texts: Sequence[str],
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> np.ndarray:
    """Return unit vectors of sentences, (len(texts), dimensions) float32; what exceeds CLIP's 77 tokens is cut off."""
    with features(stop, progress) as (processor, model):
        return _vectors(texts, lambda batch: _read(processor, model, batch), model, stop, progress)


def zero_shot(
    image: Image,
    labels: Sequence[str],
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> list[float]:
    """Return how probable each label is for a picture, in their order; together 1.

    The softmax of the cosine similarities of picture and "a photo of a {label}", times CLIP's own logit scale.
    """
    import torch

    with features(stop, progress) as (processor, model):
        sentences = [PROMPT.format(label) for label in labels]
        texts = _vectors(sentences, lambda batch: _read(processor, model, batch), model, stop, progress)
        seen = _vectors([image], lambda batch: _look(processor, model, batch), model, stop, progress)
        scale = float(model.logit_scale.detach().exp())
    probabilities: list[float] = torch.from_numpy(scale * (texts @ seen[0])).softmax(0).tolist()
    return probabilities


def _vectors(
    items: Sequence[Any],
    encode: Callable[[list[Any]], Any],
    model: Any,
    stop: threading.Event | None,
    progress: Progress,
) -> np.ndarray:
    """Encode `items` a batch at a time and scale the vectors to length 1."""
    import numpy as np
    import torch

    def unit_vectors(batch: Sequence[Any]) -> Any:
        with torch.inference_mode():
            return torch.nn.functional.normalize(encode(list(batch)).pooler_output.float()).cpu().numpy()

    vectors, done = [np.empty((0, model.config.projection_dim), np.float32)], 0
    for found in in_batches(items, BATCH, unit_vectors, stop):
        vectors.append(found)
        done += len(found)
        progress(done / len(items), f"{done} of {len(items)}")
    return np.concatenate(vectors)


def _look(processor: Any, model: Any, images: list[Image]) -> Any:
    pixels = processor.image_processor([middle(image) for image in images], return_tensors="pt")["pixel_values"]
    return model.get_image_features(pixels.to(model.device, model.dtype))


def _read(processor: Any, model: Any, texts: list[str]) -> Any:
    tokens = processor.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return model.get_text_features(**tokens.to(model.device))


def middle(image: Image) -> Image:
    """Cut the ends off a very long picture, for processors that scale the short side and keep the middle square.

    They would scale a strip of 1 x 4000 pixels to 224 x 896000 first. The margin left is wider than any
    resampling filter reaches, so what is kept of the middle stays the same.
    """
    width, height = image.size
    across, down = min(width, LONGEST * height), min(height, LONGEST * width)
    left, top = (width - across) // 2, (height - down) // 2
    return image if (across, down) == image.size else image.crop((left, top, left + across, top + down))
