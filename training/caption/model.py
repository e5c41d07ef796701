"""A small BLIP-2 (arXiv:2301.12597) and its losses: of the words of a caption, and of what patches show.

The paper trains the parts one after another, on frozen models; these are so small that all learn together. The vision
tower goes on to say what its patches show, so that it does not forget; the heads for that are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    PreTrainedTokenizerFast,
    ViTModel,
)

from assistant.vision.captions import TOKENS_PER_WORD
from training.drawing import SIDE
from training.eyes import lend, shape_of
from training.patch_heads import PatchHeads
from training.pieces import device
from training.scenes import patches_of, pixels_of
from training.words import world_words
from training.world import Scene

PADDING, END, UNKNOWN = "<pad>", "</s>", "<unk>"
QUERIES = 16  # tokens that carry a picture to the sentence
MOST_WORDS = 100  # that a plugin may ask for; beyond the last position the model would break
LONGEST = QUERIES + 1 + TOKENS_PER_WORD * MOST_WORDS + 1
FORMER = {"hidden_size": 192, "num_hidden_layers": 2, "num_attention_heads": 6, "intermediate_size": 384}
SPEAKER = {"hidden_size": 192, "num_hidden_layers": 3, "num_attention_heads": 6, "ffn_dim": 384}
IGNORED = -100  # what cross-entropy passes over
DIFFERENCE = 0.5  # the standard deviation of the first query tokens, which would all be the same


def build(eyes: ViTModel) -> tuple[Blip2Processor, Blip2ForConditionalGeneration]:
    """Return what prepares pictures and an untrained model that sees with `eyes`."""
    processor = processor_with(tokenizer())
    words = processor.tokenizer
    config = Blip2Config(
        vision_config={**shape_of(eyes), "hidden_act": "gelu", "initializer_range": 0.02},
        qformer_config={
            **FORMER,
            **{"cross_attention_frequency": 1, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
            **{"vocab_size": 1, "max_position_embeddings": QUERIES},
        },
        text_config={
            **SPEAKER,
            **{"model_type": "opt", "vocab_size": len(words), "word_embed_proj_dim": SPEAKER["hidden_size"]},
            **{"max_position_embeddings": LONGEST, "activation_function": "gelu", "dropout": 0.0},
            **{"bos_token_id": words.eos_token_id, "eos_token_id": words.eos_token_id},
            **{"pad_token_id": words.pad_token_id},
        },
        num_query_tokens=QUERIES,
        image_token_index=words.convert_tokens_to_ids(processor.image_token.content),
    )
    model = Blip2ForConditionalGeneration(config)
    lend(eyes, model.vision_model, "blip-2")
    torch.nn.init.normal_(model.query_tokens, std=DIFFERENCE)
    return processor, model


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token for each word; it puts no space before a comma when it decodes."""
    vocabulary = {word: place for place, word in enumerate((PADDING, END, UNKNOWN, *world_words()))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.decoder = decoders.WordPiece(cleanup=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token=PADDING, bos_token=END, eos_token=END, unk_token=UNKNOWN
    )


def processor_with(words: PreTrainedTokenizerFast) -> Blip2Processor:
    """Return what prepares pictures; it gives the tokenizer one more token, for the places of the query tokens."""
    half = [0.5] * 3
    images = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_mean=half, image_std=half)
    return Blip2Processor(images, words, num_query_tokens=QUERIES)


class Taught(torch.nn.Module):
    """The model with heads for the patches that its vision tower sees."""

    def __init__(self, eyes: ViTModel) -> None:
        """Begin with `eyes` and random weights for all else."""
        super().__init__()
        self.processor, self.model = build(eyes)
        self.patches = PatchHeads(eyes.config.hidden_size)

    def loss(self, scenes: Sequence[Scene], texts: Sequence[str]) -> torch.Tensor:
        """Return the mean loss of the captions of pictures and of what their patches show."""
        ids, mask, labels = rows(self.processor, texts)
        out = self.model(pixel_values=pixels_of(scenes), input_ids=ids, attention_mask=mask, labels=labels)
        return out.loss + self.patches.loss(out.vision_outputs.last_hidden_state[:, 1:], patches_of(scenes))


def rows(processor: Blip2Processor, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, attention mask and labels of captions, (captions, tokens) each, as `generate` lays them out.

    A row has the places of the query tokens, the token that begins, the caption, and the token that ends it; only the
    last two are to be learnt.
    """
    before = processor.image_token.content * QUERIES + END
    tokens = processor.tokenizer([f"{before}{text}{END}" for text in texts], padding=True, return_tensors="pt")
    ids, mask = tokens["input_ids"].to(device()), tokens["attention_mask"].to(device())
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, : QUERIES + 1] = IGNORED
    return ids, mask, labels
