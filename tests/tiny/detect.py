"""A tiny OWLv2 that finds what it is asked for: red, green and blue, one square of the 8 x 8 grid at a time.

Its vision layers let the colour of each patch pass through, the class head is solved so that a patch answers to the
sentence that names its colour, and the box head adds nothing to the place and size of the patch.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPTokenizer, Owlv2Config, Owlv2ForObjectDetection, Owlv2Processor

SIDE, PATCH = 64, 8
WORDS = ("a", "photo", "of", "red", "green", "blue", "ball", "square")
COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PREPROCESSOR = {  # as in the true repository, but for the size
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": MEAN,
    "image_processor_type": "Owlv2ImageProcessor",
    "image_std": STD,
    "processor_class": "Owlv2Processor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": SIDE, "width": SIDE},
}


def build(folder: Path) -> None:
    """Save the checkpoint to `folder`."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer).eval()
    with torch.no_grad():
        let_colours_pass(model)
        answer_to_colours(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    Owlv2Processor.from_pretrained(folder)


def make_tokenizer() -> CLIPTokenizer:
    """Make a byte-pair tokenizer that knows `WORDS` and spells every other word."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens, merges = [*letters, *(f"{letter}</w>" for letter in letters)], []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            if (parts[0], parts[1]) not in merges:
                merges.append((parts[0], parts[1]))
                tokens.append(parts[0] + parts[1])
            parts[:2] = [parts[0] + parts[1]]
    tokens += ["<|startoftext|>", "<|endoftext|>"]  # OWLv2 reads the sentence off its largest id
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token="!", model_max_length=16)


def make_model(tokenizer: CLIPTokenizer) -> Owlv2ForObjectDetection:
    size = {"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(tokenizer), "hidden_size": 32, "max_position_embeddings": 16, **size}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    vision = {"hidden_size": 8, "image_size": SIDE, "patch_size": PATCH, **size}
    return Owlv2ForObjectDetection(
        Owlv2Config(text_config=text, vision_config=vision, projection_dim=32, initializer_range=0.02)
    )


def let_colours_pass(model: Owlv2ForObjectDetection) -> None:
    """Make each vision token tell how much its patch is red, green and blue (channels 0-2), and nothing else."""
    tower = model.owlv2.vision_model
    for layer in tower.encoder.layers:
        for last in (layer.self_attn.out_proj, layer.mlp.fc2):
            last.weight.zero_()
            last.bias.zero_()
    colours = 1.5 * torch.eye(3) - 0.5  # red less the mean of green and blue; grey is 0 in each
    channels = torch.cat([colours, -colours, torch.zeros(2, 3)]) / PATCH**2
    tower.embeddings.patch_embedding.weight.copy_(channels[:, :, None, None].expand(-1, -1, PATCH, PATCH))
    signs = torch.tensor([1.0, 1, 1, -1, -1, -1, 1, -1])
    tower.embeddings.class_embedding.copy_(signs)
    tower.embeddings.position_embedding.weight.zero_()
    tower.embeddings.position_embedding.weight[1:, 6:] = torch.tensor([1.0, -1.0])
    model.box_head.dense2.weight.zero_()
    model.box_head.dense2.bias.zero_()


def answer_to_colours(model: Owlv2ForObjectDetection, tokenizer: CLIPTokenizer) -> None:
    """Solve the class head: a patch of a colour is near the sentence with its name and far from the others."""
    model.owlv2.text_model.embeddings.token_embedding.weight.normal_()
    sentences = [f"a photo of a {name}" for name in COLOURS]
    tokens = tokenizer(sentences, padding="max_length", return_tensors="pt")
    known = torch.tensor([*COLOURS.values(), (0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5)])
    pixels = (known - torch.tensor(MEAN)) / torch.tensor(STD)
    pixels = pixels[:, :, None, None].expand(-1, -1, SIDE, SIDE)
    text, _, _ = model.image_text_embedder(tokens["input_ids"], pixels[:1], tokens["attention_mask"])
    patches = model.image_embedder(pixels)[0][:, 0, 0]
    wanted = torch.cat([2 * torch.eye(3), torch.zeros(3, 3)]) - 1.0  # the cosine's sign for each colour and sentence
    targets = wanted @ torch.linalg.pinv(text / text.norm(dim=-1, keepdim=True)).T
    ones = torch.ones(len(known), 1)
    solution = torch.linalg.lstsq(torch.cat([patches, ones], 1), targets, driver="gelsd").solution
    head = model.class_head
    head.dense0.weight.copy_(solution[:-1].T)
    head.dense0.bias.copy_(solution[-1])
    for part, bias in ((head.logit_shift, 0.0), (head.logit_scale, 99.0)):
        part.weight.zero_()
        part.bias.fill_(bias)


CHECKPOINTS = {"gpu": build, "cpu": build}
