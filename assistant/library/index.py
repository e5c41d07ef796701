"""The nearest of many vectors by cosine similarity, with FAISS. Knows numbers, not what they stand for.

Whoever keeps the vectors brings those that are new before a search; nothing is stored here.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class VectorIndex:
    """Unit vectors in memory, under ids that only grow; any thread may use it."""

    def __init__(self) -> None:
        """Begin empty; the first vectors say how many dimensions there are."""
        self._index: Any = None
        self._lock = threading.Lock()
        self.newest = 0
        """The highest id taken in; a row with a lower one is known."""

    def refresh(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Take in rows (id, float32 vector), lowest id first; those another thread brought meanwhile are left out."""
        with self._lock:
            new = [(number, vector) for number, vector in rows if number > self.newest]
            if not new:
                return
            import faiss
            import numpy as np

            vectors = np.stack([np.frombuffer(vector, dtype=np.float32) for _, vector in new])
            if self._index is None:
                self._index = faiss.IndexIDMap2(faiss.IndexFlatIP(vectors.shape[1]))
            self._index.add_with_ids(vectors, np.array([number for number, _ in new], dtype=np.int64))
            self.newest = new[-1][0]

    def search(self, vector: np.ndarray, count: int) -> list[tuple[int, float]]:
        """Return at most `count` pairs (id, cosine similarity) for a unit vector (dimensions,), most similar first."""
        with self._lock:
            if self._index is None:
                return []
            scores, ids = self._index.search(vector[None], count)
        return [(int(i), float(score)) for i, score in zip(ids[0], scores[0], strict=True) if i >= 0]
