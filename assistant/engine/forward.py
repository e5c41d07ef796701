"""Runs the model over some positions of a working cache: eagerly, as a compiled graph, or as a CUDA graph.

Knows ids, positions and logits. All three ways read the same weights and the same cache and may take turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from assistant.engine.cache import WorkingCache, window_of

SMALLEST_WINDOW = 256
CAPTURED_GUESSES = 4  # after one token: up to five rows stay on bitsandbytes' fast kernel


class Step(torch.nn.Module):
    """One pass: tokens, their positions and the views of the cache in, the logits of every token out."""

    def __init__(self, model: Any) -> None:
        """Run `model`, a transformers causal language model."""
        super().__init__()
        self.model = model

    def forward(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        keys: list[torch.Tensor],
        values: list[torch.Tensor],
        keep: int = 1,
    ) -> torch.Tensor:
        """Return the logits, (keep, vocabulary), of the last `keep` of `ids`, (1, tokens), at `positions`."""
        cache = window_of(keys, values)
        out = self.model(input_ids=ids, position_ids=positions, past_key_values=cache, logits_to_keep=keep)
        return out.logits[0]  # type: ignore[no-any-return]


class Eager:
    """The plain way, for any number of tokens."""

    def __init__(self, step: Step) -> None:
        """Run `step`."""
        self._step = step

    def __call__(self, ids: torch.Tensor, start: int, cache: WorkingCache, keep: int) -> torch.Tensor:
        """Read `ids`, (tokens,), from position `start` on; return the logits of the last `keep`."""
        end = start + ids.shape[0]
        positions = torch.arange(start, end, device=ids.device)[None]
        return self._step(ids[None], positions, *cache.views(end), keep)  # type: ignore[no-any-return]


class Captured:
    """CUDA graphs of small passes, one for each number of tokens and window: no Python and no launches in between.

    transformers does not do this for bitsandbytes models (its quantizers do not say they can be compiled).
    """

    def __init__(self, model: Any, cache: WorkingCache) -> None:
        """Prepare for `model` over `cache`, whose addresses must stay."""
        self._model = model
        self._cache = cache
        self._graphs: dict[tuple[int, int], tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def forget(self) -> None:
        """Drop all graphs; they are captured again when they are needed."""
        self._graphs.clear()

    def takes(self, count: int) -> bool:
        """Tell whether there is a graph for `count` tokens."""
        return count in (1, 1 + CAPTURED_GUESSES)

    def __call__(self, ids: torch.Tensor, start: int, keep: int) -> torch.Tensor:
        """Read `ids`, (tokens,), on the device, from position `start` on; the logits stay true until the next call."""
        count = ids.shape[0]
        window = min(self._cache.capacity, max(SMALLEST_WINDOW, 2 ** math.ceil(math.log2(start + count))))
        if (count, window) not in self._graphs:
            self._graphs[count, window] = self._capture(count, window, start)
        graph, into, positions, logits = self._graphs[count, window]
        into.copy_(ids)
        positions.copy_(torch.arange(start, start + count, device=ids.device))
        graph.replay()
        return logits[-keep:]

    def _capture(self, count: int, window: int, start: int) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor]:
        device = self._model.device
        ids = torch.zeros(count, dtype=torch.long, device=device)
        # the passes that warm up write where the first real one will write again
        positions = torch.arange(start, start + count, device=device)
        run = self._fixed(ids, positions, window)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = run()
        return graph, ids, positions, logits

    def _fixed(self, ids: torch.Tensor, positions: torch.Tensor, window: int) -> Callable[[], torch.Tensor]:
        """Return a pass over tensors that keep their shapes and addresses."""
        places = torch.arange(window, device=ids.device)
        cache = window_of(*self._cache.views(window), positions)

        def run() -> torch.Tensor:
            mask = (places <= positions[:, None])[None, None]
            out = self._model(
                input_ids=ids[None],
                position_ids=positions[None],
                past_key_values=cache,
                attention_mask=mask,
                logits_to_keep=ids.shape[0],
            )
            return out.logits[0]  # type: ignore[no-any-return]

        return run
