"""BLIP-2 and BLIP, as small as they go: 32 pixels, two dozen words, random weights."""

from __future__ import annotations

from pathlib import Path

SIZE = 32
WORDS = "a an the two dog cat man woman car tree house red blue green big small on in with near and sits runs grass sky"
PIECES = "s ing ed"  # so that a word may take more than one token
VISION = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"image_size": SIZE, "patch_size": 8, "initializer_range": 0.5},  # the default, 1e-10, would show it nothing
}


def build_blip2(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessorPil,
        PreTrainedTokenizerFast,
    )

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS.split()])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="</s>", eos_token="</s>", unk_token="<unk>"
    )
    images = BlipImageProcessorPil(size={"height": SIZE, "width": SIZE})
    processor = Blip2Processor(images, tokenizer, num_query_tokens=4)  # adds "<image>" as the last word
    torch.manual_seed(3)
    config = Blip2Config(
        vision_config=VISION,
        qformer_config={
            **{"vocab_size": 10, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
            **{"num_attention_heads": 4, "encoder_hidden_size": 32, "initializer_range": 0.5},
        },
        text_config={
            **{"model_type": "opt", "vocab_size": len(tokenizer), "hidden_size": 32, "word_embed_proj_dim": 32},
            **{"ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "init_std": 0.5},
            **{"max_position_embeddings": 512, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0},
        },
        num_query_tokens=4,
        image_token_index=len(tokenizer) - 1,
    )
    model = Blip2ForConditionalGeneration(config)
    torch.nn.init.normal_(model.query_tokens, std=0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def build_blip(folder: Path) -> None:
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessorPil,
        BlipProcessor,
    )

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split(), *(f"##{piece}" for piece in PIECES.split())]
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(words)})
    torch.manual_seed(326)  # begins with a word, and no word takes more than three tokens on average
    # as published: what a caption begins with is no word of the tokenizer
    config = BlipConfig(
        text_config={
            **{"vocab_size": len(words) + 1, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
            **{
                "num_attention_heads": 4,
                "bos_token_id": len(words),
                "eos_token_id": 3,
                "sep_token_id": 3,
                "pad_token_id": 0,
            },
            **{"initializer_range": 0.5, "projection_dim": 32},
        },
        vision_config=VISION,
        projection_dim=32,
    )
    BlipForConditionalGeneration(config).save_pretrained(folder)
    images = BlipImageProcessorPil(size={"height": SIZE, "width": SIZE})
    BlipProcessor(images, tokenizer).save_pretrained(folder)


CHECKPOINTS = {"gpu": build_blip2, "cpu": build_blip}
