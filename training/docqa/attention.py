"""LayoutLMv3's attention for training: the same function of the same weights, but its sense of place can learn.

transformers looks the position biases of LayoutLMv3 up without gradients, because published checkpoints come with good
ones; from scratch they would stay noise. Here they learn, and begin as what they are for: heads that look along the
line, along the column, at the neighbours, and, wherever they stand, at equal words. Knows no data.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional
from transformers import LayoutLMv3Config, LayoutLMv3ForQuestionAnswering
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.layoutlmv3.modeling_layoutlmv3 import LayoutLMv3Encoder, LayoutLMv3SelfAttention

MOST = 1000  # thousandths of the page: the largest distance
AWAY = 5.0  # how much less likely, as a logarithm, what lies the wrong way is
LINE, COLUMN = 0.12, 0.05  # the same for a thousandth of the page away from the line or the column
ALONG = 0.006  # and for a thousandth along it
NEXT = 1.0  # and for a place further in reading order
ITSELF = 8.0  # and for a word itself, to a head that looks for equal words
ALIKE = 0.1  # standard deviation of the weights with which such heads compare words
MATCHING = 2  # heads that look for equal words; the other six have places
SPREAD = 3  # times as large as other embeddings those of words begin, so that words are told apart first


class LearningEncoder(LayoutLMv3Encoder):  # type: ignore[misc]  # transformers is not checked
    """Adds all biases once for all layers, and lets gradients reach them."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        bbox: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_ids: torch.Tensor,
        **_: Any,
    ) -> BaseModelOutput:
        """Return the last hidden states; `hidden_states` is (B, T, D), `bbox` (B, T, 4), `attention_mask` additive."""
        tables = (
            (self.rel_pos_bias, position_ids, self.rel_pos_bins, self.max_rel_pos),
            (self.rel_pos_x_bias, bbox[..., 0], self.rel_2d_pos_bins, self.max_rel_2d_pos),
            (self.rel_pos_y_bias, bbox[..., 3], self.rel_2d_pos_bins, self.max_rel_2d_pos),
        )
        every = torch.arange(-MOST, MOST + 1, device=hidden_states.device)
        bias = torch.zeros((), device=hidden_states.device)
        for linear, places, bins, most in tables:
            buckets = self.relative_position_bucket(every, num_buckets=bins, max_distance=most)
            away = places[:, None, :] - places[:, :, None] + MOST  # (B, T, T): from query to key
            bias = bias + functional.embedding(away, linear.weight.t()[buckets])
        heads = self.config.num_attention_heads
        bias = bias.permute(0, 3, 1, 2) / math.sqrt(self.config.hidden_size // heads)
        bias = (bias if attention_mask is None else bias + attention_mask).to(torch.bfloat16).contiguous()
        for layer in self.layer:
            hidden_states = layer(hidden_states, bias)
        return BaseModelOutput(last_hidden_state=hidden_states)


class LearningAttention(LayoutLMv3SelfAttention):  # type: ignore[misc]  # transformers is not checked
    """Adds the biases while multiplying, which saves a third of the time of a step."""

    def forward(self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> tuple[torch.Tensor, None]:
        """Return what is attended to; `attention_mask` (B, H, T, T) is the bias."""
        batch, length, _ = hidden_states.shape
        heads, width = self.num_attention_heads, self.attention_head_size

        def split(states: torch.Tensor) -> torch.Tensor:
            return states.view(batch, length, heads, width).transpose(1, 2).reshape(batch * heads, length, width)

        query, key, value = (split(part(hidden_states)) for part in (self.query, self.key, self.value))
        bias = attention_mask.view(batch * heads, length, length).to(query.dtype)
        scores = torch.baddbmm(bias, query, key.transpose(1, 2), alpha=1 / math.sqrt(width))
        seen = scores.softmax(-1).to(value.dtype) @ value
        return seen.view(batch, heads, length, width).transpose(1, 2).reshape(batch, length, heads * width), None


def teach(model: LayoutLMv3ForQuestionAnswering) -> None:
    """Make a model's position biases learn."""
    model.layoutlmv3.encoder.__class__ = LearningEncoder
    for layer in model.layoutlmv3.encoder.layer:
        layer.attention.self.__class__ = LearningAttention


@torch.no_grad()
def begin(model: LayoutLMv3ForQuestionAnswering) -> None:
    """Give a fresh model's heads their places, and let the last ones look for equal words."""
    config: LayoutLMv3Config = model.config
    encoder = model.layoutlmv3.encoder
    scale = math.sqrt(config.hidden_size // config.num_attention_heads)
    near = _distances(encoder, encoder.rel_pos_bins, encoder.max_rel_pos)
    far = _distances(encoder, encoder.rel_2d_pos_bins, encoder.max_rel_2d_pos)
    along, line, column = -ALONG * far.abs(), -(LINE * far.abs()).clamp(max=AWAY), -(COLUMN * far.abs()).clamp(max=AWAY)
    back, forth = -AWAY * (far > 0), -AWAY * (far < 0)
    places = [(along + back, line), (along + forth, line), (column, along + back), (column, along + forth)]
    for head, (across, down) in enumerate(places):
        encoder.rel_pos_x_bias.weight[head] = scale * across
        encoder.rel_pos_y_bias.weight[head] = scale * down
    steps = -NEXT * (near.abs() - 1).clamp(min=0, max=AWAY)
    encoder.rel_pos_bias.weight[4] = scale * (steps - AWAY * (near >= 0))
    encoder.rel_pos_bias.weight[5] = scale * (steps - AWAY * (near <= 0))
    encoder.rel_pos_bias.weight[-MATCHING:] = -scale * ITSELF * (near == 0)
    rows = MATCHING * (config.hidden_size // config.num_attention_heads)
    for layer in encoder.layer[:2]:
        same = ALIKE * torch.randn(rows, config.hidden_size)
        layer.attention.self.query.weight[-rows:] = same
        layer.attention.self.key.weight[-rows:] = same
    model.layoutlmv3.embeddings.word_embeddings.weight *= SPREAD


def _distances(encoder: LayoutLMv3Encoder, bins: int, most: int) -> torch.Tensor:
    """Return the distance nearest to 0 that falls into each bucket."""
    every = torch.arange(-MOST, MOST + 1)
    buckets = encoder.relative_position_bucket(every, num_buckets=bins, max_distance=most)
    nearest = torch.zeros(bins)
    for distance in sorted(every.tolist(), key=abs, reverse=True):
        nearest[buckets[distance + MOST]] = distance
    return nearest
