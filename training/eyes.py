"""Lends the body of the built-in classifier to other models that see, so that each begins with eyes that are open.

It knows how the same layers of a Vision Transformer are called in ViLT, CLIP, OWLv2, BLIP-2 and SAM. CLIP and OWLv2
norm what enters the first layer, which the body does not, and they have no bias for patches: theirs goes with the
positions.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import ViTForImageClassification, ViTModel

SHIPPED = Path(__file__).parents[1] / "models" / "classify"
Renames = tuple[tuple[str, str], ...]

_EMBEDDED: Renames = (
    ("embeddings.cls_token", "embeddings.class_embedding"),
    ("embeddings.patch_embeddings.projection", "embeddings.patch_embedding"),
)
_LAYERS: Renames = (
    ("layers.", "encoder.layers."),
    ("layernorm_before", "layer_norm1"),
    ("layernorm_after", "layer_norm2"),
)
DIALECTS: dict[str, Renames] = {  # what to replace in the names of ViTModel, in this order
    "vilt": (
        ("layers.", "encoder.layer."),
        ("attention.o_proj", "attention.output.dense"),
        ("attention.q_proj", "attention.attention.query"),
        ("attention.k_proj", "attention.attention.key"),
        ("attention.v_proj", "attention.attention.value"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
    ),
    "clip": (
        *_EMBEDDED,
        *_LAYERS,
        ("embeddings.position_embeddings", "embeddings.position_embedding.weight"),
        ("attention.o_proj", "self_attn.out_proj"),
        ("attention.", "self_attn."),
        ("layernorm.", "post_layernorm."),
    ),
    "blip-2": (
        *_EMBEDDED,
        *_LAYERS,
        ("embeddings.position_embeddings", "embeddings.position_embedding"),
        ("attention.o_proj", "self_attn.projection"),
        ("attention.", "self_attn."),
        ("layernorm.", "post_layernorm."),
    ),
    "sam": (
        ("embeddings.patch_embeddings", "patch_embed"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("layernorm_before", "layer_norm1"),
        ("layernorm_after", "layer_norm2"),
        ("attention.o_proj", "attn.proj"),
        ("attention.", "attn."),
        ("mlp.fc", "mlp.lin"),
    ),
}
DIALECTS["owl"] = DIALECTS["clip"]
UNUSED = {"sam": ("embeddings.cls_token", "layernorm."), "vilt": (), "clip": (), "owl": (), "blip-2": ()}


def body() -> ViTModel:
    """Return the shipped classifier's body, in float32."""
    return ViTForImageClassification.from_pretrained(SHIPPED, dtype=torch.float32).vit


def shape_of(source: ViTModel) -> dict[str, int | float]:
    """Return what a tower must be like to take the weights of `source`, as a configuration says it."""
    keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "image_size", "patch_size")
    return {key: getattr(source.config, key) for key in (*keys, "layer_norm_eps")}


def lend(source: ViTModel, tower: torch.nn.Module, dialect: str) -> None:
    """Copy the weights of `source` into a tower of the same size; what only the tower has stays as it is."""
    state = {
        _renamed(name, dialect): value
        for name, value in source.state_dict().items()
        if not name.startswith(UNUSED[dialect])
    }
    own = tower.state_dict()
    if dialect in ("blip-2", "sam"):
        state = _fused(state)
    if dialect in ("clip", "owl"):
        places = state["embeddings.position_embedding.weight"].clone()
        places[:, 1:] += state.pop("embeddings.patch_embedding.bias")
        state["embeddings.position_embedding.weight"] = places
    if dialect == "sam":
        state["pos_embed"] = state["pos_embed"][:, 1:]
    with torch.no_grad():
        for name, value in state.items():
            own[name].copy_(value.reshape(own[name].shape))


def _renamed(name: str, dialect: str) -> str:
    for old, new in DIALECTS[dialect]:
        if name.startswith(old) or f".{old}" in name:
            name = name.replace(old, new, 1)
    return name


def _fused(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put queries, keys and values into one matrix."""
    fused = {name: value for name, value in state.items() if "k_proj" not in name and "v_proj" not in name}
    for name in [name for name in fused if "q_proj" in name]:
        parts = [state[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
        fused[name.replace("q_proj", "qkv")] = torch.cat(parts)
        del fused[name]
    return fused
