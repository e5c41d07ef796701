"""Vectors are found in the order of their cosines, and each row counts once however often it is brought."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from assistant.library.index import VectorIndex


def rows_of(vectors: np.ndarray, first: int = 1) -> list[tuple[int, bytes]]:
    return [(number, vector.tobytes()) for number, vector in enumerate(vectors, first)]


@pytest.fixture
def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def test_the_order_and_the_scores_are_those_of_a_plain_search(vectors: np.ndarray) -> None:
    index = VectorIndex()
    index.refresh(rows_of(vectors))
    found = index.search(vectors[7], 5)
    cosines = vectors @ vectors[7]
    assert [number for number, _ in found] == [int(i) + 1 for i in np.argsort(-cosines)[:5]]
    assert [score for _, score in found] == pytest.approx(np.sort(cosines)[::-1][:5], abs=1e-6)


def test_an_empty_index_finds_nothing_and_a_small_one_all_it_has(vectors: np.ndarray) -> None:
    index = VectorIndex()
    index.refresh([])
    assert (index.search(vectors[0], 3), index.newest) == ([], 0)
    index.refresh(rows_of(vectors[:2], first=40))
    assert ({number for number, _ in index.search(vectors[0], 3)}, index.newest) == ({40, 41}, 41)


def test_rows_that_are_known_are_left_out(vectors: np.ndarray) -> None:
    index, rows = VectorIndex(), rows_of(vectors)
    index.refresh(rows[:30])
    threads = [threading.Thread(target=index.refresh, args=(rows[start:],)) for start in (0, 10, 29, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, _ in index.search(vectors[0], 100)) == [number for number, _ in rows]
