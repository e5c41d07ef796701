"""LayoutLMv3 for questions, as small as it goes, whose weights are set so that the right answer is known.

Words are random noise to it, but for two: an answer begins with `FIRST` and ends with the word `LAST` begins; `LATER`
is a stronger beginning. The patches of the picture shout louder than any word, and must not be heard.
"""

from __future__ import annotations

import json
from pathlib import Path

FIRST, LATER, LAST = "Rotterdam", "Antwerp", "March"
SIZE, PATCH, WIDTH = 32, 16, 32
START, END = 0, 1  # the dimensions of the hidden state that say "here it begins" and "here it ends"
STRENGTHS = {FIRST: (START, 0.08), LATER: (START, 4.0), LAST: (END, 4.0)}


def build_layoutlmv3(folder: Path) -> None:
    import torch
    from transformers import LayoutLMv3Config, LayoutLMv3ForQuestionAnswering, LayoutLMv3ImageProcessorPil

    tokenizer = _tokenizer()
    tokenizer.save_pretrained(folder)
    images = LayoutLMv3ImageProcessorPil(size={"height": SIZE, "width": SIZE})  # asks for Tesseract, as the true one
    images.save_pretrained(folder)
    torch.manual_seed(0)
    config = LayoutLMv3Config(
        **{"vocab_size": len(tokenizer), "hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 64, "coordinate_size": 5, "shape_size": 6, "input_size": SIZE, "patch_size": PATCH},
        **{"max_position_embeddings": 514, "rel_pos_bins": 8, "rel_2d_pos_bins": 8, "num_labels": 2},
    )
    model = LayoutLMv3ForQuestionAnswering(config)
    body, head = model.layoutlmv3, model.qa_outputs
    with torch.no_grad():
        texts = body.embeddings
        for table in (texts.word_embeddings, texts.position_embeddings, texts.x_position_embeddings):
            table.weight[:, [START, END]] = 0
        for word, (dimension, strength) in STRENGTHS.items():
            (token,) = tokenizer.convert_tokens_to_ids([f"Ġ{word}"])
            texts.word_embeddings.weight[token, dimension] = strength
        body.pos_embed[:, :, [START, END]] = 4
        head.dense.weight[[START, END]] = 0
        head.out_proj.weight *= 5  # of the noise
        for logit, dimension in enumerate((START, END)):
            head.dense.weight[dimension, dimension] = 0.3
            head.out_proj.weight[:, dimension] = 0
            head.out_proj.weight[logit, dimension] = 12
    model.save_pretrained(folder)


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LayoutLMv3Tokenizer

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator([f"{word} {word}" for word in STRENGTHS], trainer)
    learned = json.loads(raw.to_str())["model"]
    return LayoutLMv3Tokenizer(vocab=learned["vocab"], merges=[tuple(pair) for pair in learned["merges"]])


CHECKPOINTS = {"cpu": build_layoutlmv3}
