"""A small ViLT (arXiv:2102.03334) and its losses: of the answer, and of what each patch is to the question.

Cross-entropy over the answers tells them apart; binary cross-entropy of each gives its score a meaning of its own, as
in section 4.2 of the paper, so that all are low where a question cannot be answered. Patches say what they show, and
whether it is spoken of or is itself the answer; their heads are thrown away after training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import BertTokenizer, ViltConfig, ViltForQuestionAnswering, ViTModel

from training.eyes import lend, shape_of
from training.patch_heads import PatchHeads
from training.pieces import device
from training.scenes import Patches, patches_of, pixels_of
from training.sentences import Asked, answers
from training.vqa.questions import LONGEST, spoken_of, tokenizer
from training.world import Scene, names, table

SPOKEN, ANSWER = 1, 2  # marks of patches; 0 are all others
IGNORED = -100  # what cross-entropy passes over


def build(eyes: ViTModel) -> tuple[BertTokenizer, ViltForQuestionAnswering]:
    """Return a tokenizer and an untrained model that sees with `eyes`."""
    words = tokenizer()
    labels = dict(enumerate(answers()))
    config = ViltConfig(
        **shape_of(eyes),
        **{"vocab_size": len(words), "max_position_embeddings": LONGEST, "pad_token_id": words.pad_token_id},
        **{"id2label": labels, "label2id": {label: place for place, label in labels.items()}},
    )
    model = ViltForQuestionAnswering(config)
    lend(eyes, model.vilt, "vilt")
    with torch.no_grad():  # one of all answers is right, so that the many noes do not drown it
        model.classifier[-1].bias.fill_(-math.log(len(labels) - 1))
    return words, model


class Taught(torch.nn.Module):
    """The model with heads for its patches."""

    def __init__(self, eyes: ViTModel) -> None:
        """Begin with `eyes` and random weights for all else."""
        super().__init__()
        self.words, self.model = build(eyes)
        width = self.model.config.hidden_size
        self.patches = PatchHeads(width)
        self.marks = torch.nn.Linear(width, 3)

    def loss(self, scenes: Sequence[Scene], asked: Sequence[Asked], typed: Sequence[Asked]) -> torch.Tensor:
        """Return the mean loss of questions, one for each scene: as the world asks them, and as somebody types them."""
        logits, states = self.look(pixels_of(scenes), [one.question for one in typed])
        seen = patches_of(scenes)
        marks = cross_entropy(self.marks(states).float().flatten(0, 1), marks_of(scenes, asked, typed, seen).flatten())
        return answer_loss(logits.float(), typed) + self.patches.loss(states, seen) + marks

    def look(self, pixels: torch.Tensor, questions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of the answers, and the states of the patches, (pictures, GRID * GRID, width).

        The model itself would look at the patches in an order of its own, another each time.
        """
        tokens = self.words(list(questions), padding=True, return_tensors="pt").to(device())
        vilt = self.model.vilt
        patches = vilt.embeddings.patch_embeddings(pixels).flatten(2).transpose(1, 2)
        seen = torch.cat([vilt.embeddings.cls_token.expand(len(pixels), -1, -1), patches], 1)
        seen = seen + vilt.embeddings.position_embeddings
        mask = tokens["attention_mask"].new_ones(seen.shape[:2])
        out = vilt(**tokens, image_embeds=seen, pixel_mask=mask)
        return self.model.classifier(out.pooler_output), out.last_hidden_state[:, -patches.shape[1] :]


def answer_loss(logits: torch.Tensor, typed: Sequence[Asked]) -> torch.Tensor:
    """Return the mean loss of answers by their logits (questions, answers); where there is none, all should be low."""
    places = [answers().index(one.answer) if one.answer else IGNORED for one in typed]
    right = torch.tensor(places, device=logits.device)
    each = torch.zeros_like(logits)
    each[right != IGNORED, right[right != IGNORED]] = 1
    alone = binary_cross_entropy_with_logits(logits, each, reduction="sum") / len(logits)
    return cross_entropy(logits, right, ignore_index=IGNORED) + alone


def marks_of(scenes: Sequence[Scene], asked: Sequence[Asked], typed: Sequence[Asked], seen: Patches) -> torch.Tensor:
    """Return what patches are to a question, (pictures, GRID * GRID), IGNORED where that is not known."""
    marks = torch.zeros_like(seen.thing)
    for row, (scene, one, put) in enumerate(zip(scenes, asked, typed, strict=True)):
        if not put.answer or scene.count(one.answer) > 1:
            marks[row] = IGNORED
            continue
        for thing in spoken_of(scene, one):
            here = seen.thing[row] == 1 + names().index(thing.name)
            if thing.group == "shape":
                here &= seen.colour[row] == table()["colours"].index(thing.colour)
            marks[row, here] = SPOKEN
        if one.answer in names():
            marks[row, seen.thing[row] == 1 + names().index(one.answer)] = ANSWER
    return marks
