"""Lent eyes see what the classifier's do: the same layers under other names give the same numbers."""

import pytest
import torch
from transformers import (
    Blip2VisionConfig,
    Blip2VisionModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Owlv2Config,
    Owlv2ForObjectDetection,
    SamVisionConfig,
    SamVisionModel,
    ViltConfig,
    ViltModel,
    ViTConfig,
    ViTModel,
)

from training.eyes import lend

SHAPE = {
    **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96},
    **{"image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6},
}
PICTURES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def eyes() -> ViTModel:
    torch.manual_seed(0)
    model = ViTModel(ViTConfig(**SHAPE, initializer_range=0.3), add_pooling_layer=False).eval()
    for value in model.parameters():
        torch.nn.init.normal_(value, std=0.3)  # biases too, which begin as zeros
    return model


@pytest.fixture(scope="module")
def states(eyes: ViTModel) -> torch.Tensor:
    with torch.inference_mode():
        return eyes(pixel_values=PICTURES).last_hidden_state


def test_blip2_sees_the_same(eyes: ViTModel, states: torch.Tensor):
    tower = Blip2VisionModel(Blip2VisionConfig(**SHAPE, hidden_act="gelu")).eval()
    lend(eyes, tower, "blip-2")
    with torch.inference_mode():
        assert torch.allclose(tower(pixel_values=PICTURES).last_hidden_state, states, atol=1e-4)


def test_vilt_sees_the_same(eyes: ViTModel, states: torch.Tensor):
    tower = ViltModel(ViltConfig(**SHAPE, vocab_size=9)).eval()
    lend(eyes, tower, "vilt")
    embeddings = eyes.embeddings(PICTURES)
    hidden = tower.encoder(embeddings, attention_mask=torch.zeros(2, 1, 1, embeddings.shape[1])).last_hidden_state
    assert torch.allclose(tower.layernorm(hidden), states, atol=1e-4)
    patches = tower.embeddings.patch_embeddings(PICTURES).flatten(2).transpose(1, 2)
    own = torch.cat([tower.embeddings.cls_token.expand(2, -1, -1), patches], 1) + tower.embeddings.position_embeddings
    assert torch.allclose(own, embeddings, atol=1e-4)


@pytest.mark.parametrize("kind", ["clip", "owl"])
def test_clip_and_owlv2_see_the_same_but_for_their_first_norm(eyes: ViTModel, states: torch.Tensor, kind: str):
    if kind == "clip":
        tower = CLIPVisionModel(CLIPVisionConfig(**SHAPE, hidden_act="gelu")).eval()
        tower.pre_layrnorm = torch.nn.Identity()
    else:
        text = {
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "vocab_size": 9,
        }
        config = Owlv2Config(vision_config={**SHAPE, "hidden_act": "gelu"}, text_config=text, projection_dim=16)
        tower = Owlv2ForObjectDetection(config).owlv2.vision_model.eval()
        tower.pre_layernorm = torch.nn.Identity()
    lend(eyes, tower, kind)
    with torch.inference_mode():
        hidden = tower(pixel_values=PICTURES).last_hidden_state
        assert torch.allclose(tower.post_layernorm(hidden), states, atol=1e-4)


def test_sam_has_the_same_layers(eyes: ViTModel):
    """SAM has no token for the whole picture, so its numbers are those of the body without one."""
    shape = {name: value for name, value in SHAPE.items() if name != "intermediate_size"}
    config = SamVisionConfig(**shape, mlp_dim=96, window_size=0, use_rel_pos=False, output_channels=16)
    tower = SamVisionModel(config).eval()
    lend(eyes, tower.vision_encoder, "sam")
    with torch.inference_mode():
        hidden = eyes.embeddings(PICTURES)[:, 1:]
        for layer in eyes.layers:
            hidden = layer(hidden)
        own = tower.vision_encoder.patch_embed(PICTURES) + tower.vision_encoder.pos_embed
        for layer in tower.vision_encoder.layers:
            own = layer(own)
            own = own[0] if isinstance(own, tuple) else own
    assert torch.allclose(own.flatten(1, 2), hidden, atol=1e-4)
