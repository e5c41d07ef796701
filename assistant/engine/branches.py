"""How likely several continuations of one prompt are, all of them read in one pass. Knows ids, no words.

The continuations are laid out one after another with a mask that lets each see the prompt and itself only, as in tree
attention (SpecInfer, arXiv:2305.09781), so that a choice among names costs little more than reading the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from assistant.engine.cache import WorkingCache, window_of


def score_branches(
    model: Any, cache: WorkingCache, last: torch.Tensor, branches: Sequence[Sequence[int]]
) -> list[float]:
    """Return the log probability of each of `branches` after what `cache` holds.

    Args:
        model: A transformers causal language model.
        cache: What was read; it has room for all tokens of all branches, and afterwards holds what it held.
        last: The logits after the last token read, (vocabulary,).
        branches: Not empty, each of at least one token.
    """
    firsts = torch.log_softmax(last.float(), -1)
    scores = [float(firsts[branch[0]]) for branch in branches]
    rows = [token for branch in branches for token in branch[:-1]]
    if not rows:
        return scores
    lengths = [len(branch) - 1 for branch in branches]
    logs = torch.log_softmax(_read(model, cache, rows, lengths).float(), -1)
    targets = torch.tensor([token for branch in branches for token in branch[1:]], device=logs.device)
    told = torch.split(logs.gather(1, targets[:, None])[:, 0], lengths)
    return [score + float(part.sum()) for score, part in zip(scores, told, strict=True)]


def _read(model: Any, cache: WorkingCache, rows: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
    """Return the logits of every row, (rows, vocabulary)."""
    device, start = model.device, len(cache.ids)
    number = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    among = (number[:, None] == number[None, :]) & torch.ones(len(rows), len(rows), dtype=torch.bool).tril()
    mask = torch.cat([torch.ones(len(rows), start, dtype=torch.bool), among], 1)
    positions = torch.cat([torch.arange(start, start + length) for length in lengths])
    with torch.inference_mode():
        out = model(
            input_ids=torch.tensor([rows], device=device),
            position_ids=positions[None].to(device),
            past_key_values=window_of(*cache.views(start + len(rows))),
            attention_mask=mask[None, None].to(device),
        )
    return out.logits[0]  # type: ignore[no-any-return]
