"""ViLT for questions, as small as it goes: 32 pixels, two dozen words, seven answers, random weights."""

from __future__ import annotations

import json
from pathlib import Path

SIZE = 32
WORDS = "how many what color is the there a an in on of it this dogs cats dog cat car red blue ?"
ANSWERS = ("yes", "no", "red", "blue", "two", "a dog", "outside")


def build(folder: Path, **config: float) -> None:
    import torch
    from transformers import BertTokenizer, ViltConfig, ViltForQuestionAnswering

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)}, model_max_length=16)
    torch.manual_seed(2)
    shape = ViltConfig(
        **{"vocab_size": len(words), "max_position_embeddings": 16, "pad_token_id": 0, "initializer_range": 0.5},
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
        **{"image_size": SIZE, "patch_size": 8},
        id2label=dict(enumerate(ANSWERS)),
        label2id={answer: i for i, answer in enumerate(ANSWERS)},
        **config,
    )
    ViltForQuestionAnswering(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # as the published checkpoints still have it
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                **{"feature_extractor_type": "ViltFeatureExtractor", "size": SIZE, "size_divisor": 8, "resample": 3},
                **{"do_normalize": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            }
        )
    )


CHECKPOINTS = {"cpu": build}
