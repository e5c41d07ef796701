"""Linear layers with weights of 8 or 4 bits for a CPU, through torch's own kernels for them. Knows no model.

Reading one token is bound by the bytes of the weights, so they are read packed there; reading many is bound by
arithmetic, so the same quantized values are kept as bfloat16 beside them (unpacking them each time costs 15 %).
"""

from __future__ import annotations

import torch
from torch import nn

FEW_ROWS = 8  # up to here the packed kernels are faster than the bfloat16 product
GROUP = 32  # weights that share a scale and a zero in 4 bits
TILE = 16  # rows that the 4-bit kernel takes together


class PackedLinear(nn.Module):
    """A linear layer without bias, its weights rounded to 8 bits with one scale an output row.

    As in LLM.int8() (arXiv:2208.07339), but weights only and without its outliers.
    """

    packed: torch.Tensor
    scales: torch.Tensor
    wide: torch.Tensor | None

    def __init__(self, linear: nn.Linear, keep_wide: bool) -> None:
        """Quantize `linear`; without `keep_wide` many rows are slow, which a head that reads one row never has."""
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        packed, scales, wide = self.pack(linear.weight.detach().float())
        self.register_buffer("packed", packed, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.register_buffer("wide", wide.to(torch.bfloat16) if keep_wide else None, persistent=False)

    def pack(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return `weight`, (out features, in features), packed, its scales, and the values that these stand for."""
        scales = (weight.abs().amax(1) / 127).clamp(min=1e-12).to(torch.bfloat16)
        steps = (weight / scales.float()[:, None]).round().clamp(-127, 127)
        return steps.to(torch.int8), scales, steps * scales.float()[:, None]

    def read_packed(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the product of `rows`, (rows, in features), with the packed weights."""
        return torch._weight_int8pack_mm(rows, self.packed, self.scales)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., out features) of `x`, (..., in features), both bfloat16."""
        rows = x.reshape(-1, self.in_features).contiguous()
        if rows.shape[0] <= FEW_ROWS or self.wide is None:
            out = self.read_packed(rows)
        else:
            out = nn.functional.linear(rows, self.wide)
        return out.view(*x.shape[:-1], self.out_features)


class FourBitLinear(PackedLinear):
    """A linear layer without bias, its weights rounded to 16 even steps from the least to the most of a group.

    The form of llama.cpp's Q4_1, whose files it holds without loss, but for scales of bfloat16.
    """

    def pack(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `PackedLinear.pack`; the scales are (groups, out features, scale and middle)."""
        groups = weight.view(weight.shape[0], -1, GROUP)
        least, most = groups.amin(-1), groups.amax(-1)
        scale = ((most - least) / 15).clamp(min=1e-12).to(torch.bfloat16).float()
        middle = (least + 8 * scale).to(torch.bfloat16).float()
        steps = ((groups - middle[..., None]) / scale[..., None]).round().clamp(-8, 7)
        wide = (steps * scale[..., None] + middle[..., None]).view_as(weight)
        codes = (steps + 8).to(torch.int32).view_as(weight)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
        return packed, torch.stack([scale, middle], -1).transpose(0, 1).contiguous().to(torch.bfloat16), wide

    def read_packed(self, rows: torch.Tensor) -> torch.Tensor:
        """As `PackedLinear.read_packed`."""
        return torch.ops.aten._weight_int4pack_mm_for_cpu(rows, self.packed, GROUP, self.scales)  # type: ignore[no-any-return]


def pack_linears(model: nn.Module, bits: int) -> None:
    """Replace every linear layer of `model` without bias by a packed one, adapters (LoRA) excepted.

    With 4 `bits` the head and layers that are no whole number of groups wide, or of tiles high, still get 8.
    """
    head = getattr(model, "lm_head", None)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and getattr(layer, "bias", None) is None and "lora_" not in name:
            parent, _, last = name.rpartition(".")
            fits = layer.in_features % GROUP == 0 and layer.out_features % TILE == 0
            four = bits == 4 and layer is not head and fits
            packed = (FourBitLinear if four else PackedLinear)(layer, keep_wide=layer is not head)
            setattr(model.get_submodule(parent), last, packed)
