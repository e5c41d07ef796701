"""The model that learns: tokenizer, LayoutLMv3 and what it learns beside the answers. Knows pages by their texts only.

The tokenizer cuts a word into the same pieces however it is capitalised, and the pieces begin with equal embeddings:
labels stand on pages in all forms, and people type questions in small letters.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch.nn import functional
from transformers import (
    LayoutLMv3Config,
    LayoutLMv3ForQuestionAnswering,
    LayoutLMv3ImageProcessorPil,
    LayoutLMv3Tokenizer,
)

from training.docqa.attention import begin, teach
from training.docqa.batches import IGNORED, Batch
from training.pages.lexicon import keys
from training.pages.questions import ask
from training.pages.values import read
from training.pages.world import make_page

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
PIECES = 3200  # of small letters; with capitals it is two and a half times as many
RARE = 10  # times that each word of the lists is read beside the pages, so that it is one piece
READ = 2500  # pages that pieces are learned from
SEED = 5
SIZE, PATCH = 64, 32  # pixels: words tell nearly everything, so the picture gets five tokens
ROLE_WEIGHT, ASKED_WEIGHT = 0.3, 0.1  # in the loss, of what each word is and of what is asked for
POSITIONS = 512 + 2  # of tokens; two are lost to the padding token's id

ROLES = tuple(keys())


def build_tokenizer() -> LayoutLMv3Tokenizer:
    """Learn pieces of words from pages and questions; every byte is one, so that nothing is unknown."""
    raw = Tokenizer(models.BPE())
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator(_texts(), trainer)
    learned = json.loads(raw.to_str())["model"]
    vocabulary, merges = dict(learned["vocab"]), []
    for left, right in learned["merges"]:
        for first, second in _forms(left, right):
            vocabulary.setdefault(first + second, len(vocabulary))
            merges.append((first, second))
    return LayoutLMv3Tokenizer(vocab=vocabulary, merges=merges)


def _texts() -> Iterator[str]:
    for words in read("names").values():
        yield from (f"{word} {word}" for word in words for _ in range(RARE))
    for number in range(READ):
        page, rng = make_page(number, "train"), random.Random(number)
        yield " ".join(word.text for word in page.words)
        yield from (question.text for question in ask(page, rng, 2))


def _forms(left: str, right: str) -> list[tuple[str, str]]:
    """Return two pieces in small letters, with the first letter of both a capital, and all in capitals."""
    capital = (_capital(left), right if _has_letter(left) else _capital(right))
    return list(dict.fromkeys([(left, right), capital, (_upper(left), _upper(right))]))


def _has_letter(piece: str) -> bool:
    return any("a" <= letter <= "z" for letter in piece)


def _capital(piece: str) -> str:
    place = next((place for place, letter in enumerate(piece) if "a" <= letter <= "z"), len(piece))
    return piece[:place] + piece[place : place + 1].upper() + piece[place + 1 :]


def _upper(piece: str) -> str:
    return "".join(letter.upper() if "a" <= letter <= "z" else letter for letter in piece)


def build_model(tokenizer: LayoutLMv3Tokenizer, width: int = 192, layers: int = 6) -> LayoutLMv3ForQuestionAnswering:
    """Make the model, untrained: of full size, or as small as a test wants it."""
    config = LayoutLMv3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        intermediate_size=4 * width,
        coordinate_size=width // 6,
        shape_size=width // 6,
        max_position_embeddings=POSITIONS,
        input_size=SIZE,
        patch_size=PATCH,
        hidden_dropout_prob=0.0,  # no page is seen twice
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(SEED)
    model = LayoutLMv3ForQuestionAnswering(config)
    begin(model)
    vocabulary = tokenizer.get_vocab()
    small = [vocabulary.get(_lower(piece), place) for piece, place in vocabulary.items()]
    with torch.no_grad():
        words = model.layoutlmv3.embeddings.word_embeddings.weight
        words[list(vocabulary.values())] = words[small]
    return model


def _lower(piece: str) -> str:
    return "".join(letter.lower() if "A" <= letter <= "Z" else letter for letter in piece)


def build_images() -> LayoutLMv3ImageProcessorPil:
    """Make what prepares pictures."""
    half = [0.5, 0.5, 0.5]
    return LayoutLMv3ImageProcessorPil(
        apply_ocr=False, size={"height": SIZE, "width": SIZE}, image_mean=half, image_std=half
    )


class Learner(torch.nn.Module):
    """The model with two more heads, thrown away later: what each word of the page is, and what is asked for.

    They teach it kinds of facts and of questions from every word of a page, not only from the one answer.
    """

    def __init__(self, model: LayoutLMv3ForQuestionAnswering) -> None:
        """Teach `model`."""
        super().__init__()
        teach(model)
        self.model = model
        self.role = torch.nn.Linear(model.config.hidden_size, len(ROLES) + 1)
        self.asked = torch.nn.Linear(model.config.hidden_size, len(ROLES))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch."""
        starts, ends, states = self.look(batch)
        answer = functional.cross_entropy(starts, batch.starts) + functional.cross_entropy(ends, batch.ends)
        guesses = self.role(states).float().flatten(0, 1)
        role = functional.cross_entropy(guesses, batch.roles.flatten(), ignore_index=IGNORED)
        asked = functional.cross_entropy(self.asked(states[:, 0]).float(), batch.asked)
        return answer / 2 + ROLE_WEIGHT * role + ASKED_WEIGHT * asked

    def look(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the logits of starts and ends (B, T) and the states (B, T, D) of the text, not of the picture."""
        length = batch.ids.shape[1]
        told = self.model.layoutlmv3(
            batch.ids, bbox=batch.boxes, attention_mask=batch.mask, pixel_values=batch.pixels
        ).last_hidden_state[:, :length]
        logits = self.model.qa_outputs(told).float().masked_fill(~batch.mask[..., None].bool(), -1e4)
        return logits[..., 0], logits[..., 1], told


def ship(model: LayoutLMv3ForQuestionAnswering, tokenizer: LayoutLMv3Tokenizer, folder: Path) -> None:
    """Write the model in half precision with all that it needs; the learned weights go into the plain class."""
    plain = LayoutLMv3ForQuestionAnswering(model.config)
    plain.load_state_dict(model.state_dict())
    plain.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    build_images().save_pretrained(folder)
