"""A small CLIP (arXiv:2103.00020) and its loss: of all sentences of a batch each picture finds those true of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, ViTModel

from training.eyes import lend, shape_of
from training.pieces import device
from training.scenes import pixels_of
from training.words import clip_tokenizer
from training.world import Scene

LONGEST = 48  # tokens of a sentence; five things on a background take 40
TEXT = {"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512}
WIDTH = 128  # of the space


def build(eyes: ViTModel) -> tuple[CLIPTokenizer, CLIPModel]:
    """Return a tokenizer and an untrained model that sees with `eyes`."""
    tokenizer = clip_tokenizer(LONGEST)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = CLIPConfig(
        text_config={
            **TEXT,
            **ends,
            **{"vocab_size": len(tokenizer), "max_position_embeddings": LONGEST, "hidden_act": "gelu"},
            **{"pad_token_id": tokenizer.pad_token_id},
        },
        vision_config={**shape_of(eyes), "hidden_act": "gelu"},
        projection_dim=WIDTH,
    )
    model = CLIPModel(config)
    lend(eyes, model.vision_model, "clip")
    return tokenizer, model


def loss(model: CLIPModel, tokenizer: CLIPTokenizer, scenes: Sequence[Scene], texts: Sequence[str]) -> torch.Tensor:
    """Return the mean loss of finding the sentence of each picture and the picture of each sentence.

    Where a sentence stands twice in the batch, each of its pictures is right.
    """
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt").to(device())
    out = model(**tokens, pixel_values=pixels_of(scenes))
    same = torch.tensor([[float(one == other) for other in texts] for one in texts], device=device())
    wanted = same / same.sum(1, keepdim=True)
    logits = out.logits_per_image.float()
    return (cross_entropy(logits, wanted) + cross_entropy(logits.T, wanted)) / 2
