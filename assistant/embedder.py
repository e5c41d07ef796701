"""Sentence embeddings, for the library and for choosing tools. Knows the role "embed", no index and no tool."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistant.residents import Weights, resident
from assistant.types import Progress
from assistant.zerogpu import is_zerogpu

if TYPE_CHECKING:
    import numpy as np

BATCH = 32


@resident("embed")
def _encoder(weights: Weights, progress: Progress) -> Any:
    from sentence_transformers import SentenceTransformer

    device = "cpu" if is_zerogpu() else None  # too small a job to spend GPU quota on
    return SentenceTransformer(str(weights.path), device=device, local_files_only=True)


def embed(
    texts: Sequence[str],
    stop: threading.Event | None = None,
    progress: Progress = lambda fraction, note: None,
) -> np.ndarray:
    """Return unit vectors, (len(texts), dimensions) float32; tells `progress` after every batch."""
    import numpy as np

    vectors = []
    with _encoder(stop, progress) as encoder:
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])
            vectors.append(encoder.encode(batch, normalize_embeddings=True, show_progress_bar=False))
            progress((start + len(batch)) / len(texts), "reading passages")
    return np.concatenate(vectors).astype(np.float32)
