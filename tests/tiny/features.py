"""CLIP, as small as it goes: 32 pixels, letters for words."""

from __future__ import annotations

from pathlib import Path

SIZE = 32


def build(folder: Path) -> None:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789'-.,?!"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=32, pad_token="<|endoftext|>"
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = CLIPConfig(
        text_config={**shape, **ends, "vocab_size": len(words), "max_position_embeddings": 32},
        vision_config={**shape, "image_size": SIZE, "patch_size": 8},
        projection_dim=24,
        logit_scale_init_value=2.6592,
    )
    CLIPModel(config).save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)


CHECKPOINTS = {"cpu": build}
