"""8-bit weights for a CPU: close to what they were made from, and the same for few rows and for many."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from assistant.engine.packed import FEW_ROWS, GROUP, FourBitLinear, PackedLinear, pack_linears


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(3)
    layer = nn.Linear(96, 48, bias=False)
    with torch.no_grad():
        layer.weight *= torch.logspace(-3, 2, 48)[:, None]  # rows of very different sizes
        layer.weight[7] = 0
    return layer


def rows(count: int) -> torch.Tensor:
    return torch.randn(count, 96, generator=torch.Generator().manual_seed(count)).bfloat16()


def test_no_weight_is_further_away_than_half_a_step(linear: nn.Linear) -> None:
    packed = PackedLinear(linear, keep_wide=True)
    steps = packed.scales.float()[:, None]
    assert packed.packed.dtype == torch.int8
    assert ((packed.packed * steps - linear.weight).abs() <= 0.5001 * steps).all()
    assert (packed.packed.abs().amax(1) >= 126)[torch.arange(48) != 7].all()  # all of the 255 steps are used
    assert not packed.packed[7].any()


def test_no_four_bit_weight_is_further_away_than_half_a_step(linear: nn.Linear) -> None:
    weight = linear.weight.detach().float()
    _, scales, wide = FourBitLinear.pack(PackedLinear(linear, False), weight)  # type: ignore[arg-type]
    steps = scales[..., 0].float().T.repeat_interleave(GROUP, 1)
    middles = scales[..., 1].float().T.repeat_interleave(GROUP, 1)
    assert scales.shape == (96 // GROUP, 48, 2)
    # the scale and the middle are rounded to 8 bits of mantissa as well
    assert ((wide - weight).abs() <= 0.55 * steps + 0.008 * middles.abs() + 1e-9).all()
    groups = wide.view(48, -1, GROUP)
    assert max(len(set(group.tolist())) for row in groups for group in row) in range(12, 17)


def test_four_bits_hold_a_group_of_sixteen_even_steps_without_loss() -> None:
    layer = nn.Linear(64, 16, bias=False)
    with torch.no_grad():
        layer.weight.copy_((torch.arange(64) * 5 % 16)[None] * torch.tensor([2.0**-i for i in range(16)])[:, None])
    packed = FourBitLinear(layer, keep_wide=True)
    assert torch.equal(packed.wide, layer.weight.bfloat16())  # type: ignore[arg-type]
    assert torch.equal(packed(torch.eye(64).bfloat16()[:8]), layer.weight.T.bfloat16()[:8])


@pytest.mark.parametrize("count", [1, 2, FEW_ROWS, FEW_ROWS + 1, 30])
@pytest.mark.parametrize("kind", [PackedLinear, FourBitLinear])
def test_any_number_of_rows_gives_the_product_up_to_rounding(
    linear: nn.Linear, count: int, kind: type[PackedLinear]
) -> None:
    wide, packed = kind(linear, keep_wide=True), kind(linear, keep_wide=False)
    assert packed.wide is None
    assert wide.wide is not None
    exact = rows(count).float() @ wide.wide.float().T
    sizes = rows(count).float().norm(dim=1)[:, None] * wide.wide.float().norm(dim=1)
    for layer in (wide, packed):
        out = layer(rows(count))
        assert out.dtype == torch.bfloat16
        assert ((out.float() - exact).abs() <= 0.01 * sizes).all()


@pytest.mark.parametrize("kind", [PackedLinear, FourBitLinear])
def test_few_rows_and_many_agree(linear: nn.Linear, kind: type[PackedLinear]) -> None:
    packed = kind(linear, keep_wide=True)
    many = packed(rows(30)).float()
    few = torch.cat([packed(part) for part in rows(30).split(5)]).float()
    assert ((many - few).norm(dim=0) <= 0.01 * many.norm(dim=0)).all()


@pytest.mark.parametrize("kind", [PackedLinear, FourBitLinear])
def test_any_shape_of_rows_is_taken(linear: nn.Linear, kind: type[PackedLinear]) -> None:
    packed = kind(linear, keep_wide=True)
    x = rows(24).reshape(2, 3, 4, 96)
    assert packed(x).shape == (2, 3, 4, 48)
    torch.testing.assert_close(packed(x).reshape(24, 48), packed(rows(24)))
    torch.testing.assert_close(packed(x[:, -1:, 0]), packed(x[:, -1:, 0].contiguous()))


@pytest.mark.parametrize("bits", [8, 4])
def test_the_head_keeps_no_second_copy_and_tied_embeddings_stay_as_they_are(
    tiny_model: LlamaForCausalLM, bits: int
) -> None:
    model = copy.deepcopy(tiny_model).bfloat16()
    model.lm_head.weight = model.model.embed_tokens.weight
    before = model.model.embed_tokens.weight.detach().clone()
    pack_linears(model, bits)
    packed = {name: layer for name, layer in model.named_modules() if isinstance(layer, PackedLinear)}
    assert len(packed) == 3 * 7 + 1
    assert [name for name, layer in packed.items() if layer.wide is None] == ["lm_head"]
    assert sum(isinstance(layer, FourBitLinear) for layer in packed.values()) == (21 if bits == 4 else 0)
    assert not isinstance(model.lm_head, FourBitLinear)
    assert not any(isinstance(layer, nn.Linear) for layer in model.modules())
    assert isinstance(model.model.embed_tokens, nn.Embedding)
    assert torch.equal(model.model.embed_tokens.weight, before)


def test_a_layer_with_a_bias_is_left_alone_and_one_of_an_odd_width_gets_eight_bits() -> None:
    shapes = [(40, 32), (32, 40), (32, 16)]
    model = nn.Sequential(nn.Linear(32, 32), *(nn.Linear(*shape, bias=False) for shape in shapes))
    pack_linears(model, 4)
    assert [type(layer) for layer in model] == [nn.Linear, PackedLinear, PackedLinear, FourBitLinear]


@pytest.mark.parametrize(("bits", "alike"), [(8, 0.99), (4, 0.8)])
def test_a_packed_model_says_nearly_what_the_whole_one_says(
    tiny_model: LlamaForCausalLM, bits: int, alike: float
) -> None:
    model = copy.deepcopy(tiny_model).bfloat16()
    ids = torch.tensor([[256, 72, 101, 108, 108, 111]])
    with torch.inference_mode():
        whole = model(ids).logits[0].float()
        pack_linears(model, bits)
        packed = model(ids).logits[0].float()
    assert torch.nn.functional.cosine_similarity(whole, packed, dim=-1).min() > alike
