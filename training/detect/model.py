"""A small OWLv2 (arXiv:2306.09683) and its loss: each patch of a thing answers for it and says where it ends.

transformers gives this class no loss. The paper matches patches and things anew at each step, one to one; here all
patches of a thing answer, as the eyes it begins with have learned to, and plugins keep the best of overlapping boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss
from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, ViTModel

from assistant.vision.detection import PROMPT
from training.eyes import lend, shape_of
from training.pieces import device
from training.scenes import Patches, patches_of, pixels_of
from training.sentences import plural
from training.words import clip_tokenizer
from training.world import Scene, names, shapes, table

LONGEST = 16  # tokens of a query
TEXT = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 512}
FOCUS, WEIGHT = 2.0, 0.25  # of the focal loss, arXiv:1708.02002
EDGES, UNION = 5.0, 2.0  # how much the error of a box counts, by its edges and by its overlap
PLURALS = 0.3  # the share of queries that are asked in the plural
SURE = 0.02  # the probability of a thing that an untrained patch should give, so that the many noes do not drown it


def queries() -> tuple[str, ...]:
    """Return all names that things go by; a plain shape has one with its colour and one without."""
    return (*names(), *(thing.label for thing in shapes()))


def build(eyes: ViTModel) -> tuple[CLIPTokenizer, Owlv2ForObjectDetection]:
    """Return a tokenizer and an untrained model that sees with `eyes`."""
    tokenizer = clip_tokenizer(LONGEST)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    config = Owlv2Config(
        text_config={
            **TEXT,
            **ends,
            **{"vocab_size": len(tokenizer), "max_position_embeddings": LONGEST, "hidden_act": "gelu"},
        },
        vision_config={**shape_of(eyes), "hidden_act": "gelu"},
        projection_dim=TEXT["hidden_size"],
        initializer_range=0.02,  # else the heads begin with weights of standard deviation 1
    )
    model = Owlv2ForObjectDetection(config)
    lend(eyes, model.owlv2.vision_model, "owl")
    with torch.no_grad():  # (cosine + shift) * (elu(scale) + 1): from -12 for a cosine of 0 to 8 for one of 1
        model.class_head.logit_scale.bias.fill_(19.0)
        model.class_head.logit_shift.bias.fill_(float(np.log(SURE / (1 - SURE))) / 20)
    return tokenizer, model


def names_of(seen: Patches) -> torch.Tensor:
    """Return 1 where the thing of a patch goes by a name, else 0: (pictures, GRID * GRID, queries)."""
    plain, inks = len(names()), table()["colours"]
    wanted = torch.zeros(*seen.thing.shape, len(queries()), device=seen.thing.device)
    things = torch.nn.functional.one_hot(seen.thing, 1 + plain)[..., 1:]
    wanted[..., :plain] = things.float()
    first = plain - len(table()["shapes"])
    shaped = seen.colour >= 0
    labels = plain + (seen.thing[shaped] - 1 - first) * len(inks) + seen.colour[shaped]
    wanted[shaped] = wanted[shaped].scatter(1, labels[:, None], 1.0)
    return wanted


def loss(
    model: Owlv2ForObjectDetection, tokenizer: CLIPTokenizer, scenes: Sequence[Scene], rng: np.random.Generator
) -> torch.Tensor:
    """Return the loss of all names at all patches, and of the boxes of patches that answer for a thing."""
    asked = [plural(query) if rng.random() < PLURALS else query for query in queries()]
    tokens = tokenizer([PROMPT.format(query) for query in asked], padding=True, return_tensors="pt").to(device())
    texts = model.owlv2.get_text_features(**tokens).pooler_output
    seen, _ = model.image_embedder(pixels_of(scenes))
    patches = seen.flatten(1, 2)
    logits, _ = model.class_predictor(patches, texts.expand(len(scenes), -1, -1))
    boxes = model.box_predictor(patches.float(), seen)
    wanted = patches_of(scenes)
    owned = wanted.thing > 0
    names_off = focal(logits.float(), names_of(wanted)) / owned.sum()
    own, right = boxes[owned], _middle_and_size(wanted.box[owned])
    return names_off + EDGES * l1_loss(own, right) + UNION * (1 - _union(own, right)).mean()


def _middle_and_size(boxes: torch.Tensor) -> torch.Tensor:
    """Turn left, top, right and bottom into the middle and the size."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return torch.cat([(low + high) / 2, high - low], dim=1)


def focal(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the sum of the focal loss: answers that are right already count for little."""
    plain = binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = torch.exp(-plain)
    balance = WEIGHT * wanted + (1 - WEIGHT) * (1 - wanted)
    return (balance * (1 - right) ** FOCUS * plain).sum()


def _union(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the generalised overlap (arXiv:1902.09630) of boxes given by middle and size, in -1..1."""
    low = [box[:, :2] - box[:, 2:] / 2 for box in (one, other)]
    high = [box[:, :2] + box[:, 2:] / 2 for box in (one, other)]
    shared = (torch.minimum(*high) - torch.maximum(*low)).clamp(min=0).prod(1)
    hull = (torch.maximum(*high) - torch.minimum(*low)).prod(1)
    union = one[:, 2:].prod(1) + other[:, 2:].prod(1) - shared
    return shared / union - (hull - union) / hull
