"""The keys and values of what a model has read. Knows token ids, no model and no words.

`WorkingCache` is the one that the model reads and writes: allocated once, rewound by forgetting a length, read only as
far as it is filled. `PrefixCache` keeps copies of what other conversations had there, in memory of the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class _Window(CacheLayerMixin):  # type: ignore[misc]  # transformers is not checked
    """One layer of a working cache up to the last of the positions that are being read."""

    is_compileable = True
    is_sliding = False

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, positions: torch.Tensor | None) -> None:
        super().__init__()
        self.keys, self.values, self.is_initialized = keys, values, True
        self._positions = positions

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> Any:
        if self._positions is None:
            self.keys[:, :, -key_states.shape[2] :] = key_states
            self.values[:, :, -key_states.shape[2] :] = value_states
        else:
            self.keys.index_copy_(2, self._positions, key_states)
            self.values.index_copy_(2, self._positions, value_states)
        return self.keys, self.values

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Do nothing: the working cache is allocated."""

    def get_seq_length(self) -> int:
        return int(self.keys.shape[2])

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return int(self.keys.shape[2]), 0

    def get_max_length(self) -> int:
        return int(self.keys.shape[2])


def window_of(
    keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], positions: torch.Tensor | None = None
) -> Cache:
    """Make a transformers cache of one (1, key heads, window, width) view a layer.

    Without `positions` the keys being read go to the end of the window; with them, to those places (a CUDA graph reads
    a window of fixed length).
    """
    return Cache(layers=[_Window(k, v, positions) for k, v in zip(keys, values, strict=True)])


class WorkingCache:
    """Keys and values of one sequence: `ids` are the tokens they belong to, `adapter` the weights that made them."""

    def __init__(self, config: Any, capacity: int, dtype: torch.dtype, device: torch.device) -> None:
        """Allocate room for `capacity` tokens of a model with `config`; on a CPU untouched pages cost no memory."""
        heads = config.num_key_value_heads
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._shape = (config.num_hidden_layers, 2, 1, heads, capacity, width)
        self._options: Any = {"dtype": dtype, "device": device}
        self._all = torch.empty(self._shape, **self._options)
        self.capacity = capacity
        self.ids: list[int] = []
        self.adapter: str | None = None

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        del self.ids[length:]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is allocated."""
        return self._all.nbytes

    def release(self) -> None:
        """Forget everything and give the memory back; `claim` before the next use."""
        self.rewind(0)
        self._all = torch.empty(0, **self._options)

    def claim(self) -> None:
        """Allocate again what was released."""
        if not self._all.numel():
            self._all = torch.empty(self._shape, **self._options)

    def views(self, length: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return keys and values of the first `length` positions, one (1, key heads, length, width) view a layer."""
        part = self._all[..., :length, :]
        return [layer[0] for layer in part], [layer[1] for layer in part]

    def copy_out(self) -> torch.Tensor:
        """Copy what is filled to memory of the host, pinned where the cache is on a GPU."""
        filled = self._all[..., : len(self.ids), :]
        host = torch.empty(filled.shape, dtype=filled.dtype, pin_memory=filled.is_cuda)
        return host.copy_(filled)

    def copy_in(self, kept: torch.Tensor, ids: Sequence[int], adapter: str | None) -> None:
        """Take the first `len(ids)` positions of `kept`."""
        self._all[..., : len(ids), :].copy_(kept[..., : len(ids), :], non_blocking=True)
        self.ids, self.adapter = list(ids), adapter


@dataclass(frozen=True, slots=True)
class _Kept:
    adapter: str | None
    ids: list[int]
    states: torch.Tensor


class PrefixCache:
    """Keys and values of other conversations under a budget of bytes; the least recently used leave."""

    def __init__(self, budget_bytes: int) -> None:
        """Begin empty."""
        self._budget = budget_bytes
        self._kept: list[_Kept] = []  # the most recently used last

    def put(self, cache: WorkingCache) -> None:
        """Keep a copy of `cache`, in place of any beginning of it that is kept."""
        mine = cache.ids
        self._kept = [k for k in self._kept if k.adapter != cache.adapter or shared(k.ids, mine) < len(k.ids)]
        self._kept.append(_Kept(cache.adapter, list(mine), cache.copy_out()))
        while sum(kept.states.nbytes for kept in self._kept) > self._budget:
            self._kept.pop(0)

    def longest(self, adapter: str | None, ids: Sequence[int]) -> tuple[int, torch.Tensor | None]:
        """Return how many of the first `ids` are kept for `adapter`, and the states of that copy."""
        best = 0
        found: _Kept | None = None
        for kept in self._kept:
            if kept.adapter == adapter and (length := shared(kept.ids, ids)) > best:
                best, found = length, kept
        if found is None:
            return 0, None
        self._kept.remove(found)
        self._kept.append(found)
        return best, found.states

    def __len__(self) -> int:
        """Count the copies."""
        return len(self._kept)


def shared(first: Sequence[int], second: Sequence[int]) -> int:
    """Return the length of the longest common prefix."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
