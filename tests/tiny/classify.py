"""Picture classifiers, as small as they go: ViT of the catalog and MobileViTv2, with twelve labels."""

from __future__ import annotations

import json
from pathlib import Path

SIZE = 32
LABELS = ("tench, Tinca tinca", "goldfish", "robin", "tabby, tabby cat", "beagle", "zebra", *"abcdef")
NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}


def build_vit(folder: Path) -> None:
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(4)
    config = ViTConfig(
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
        **{"image_size": SIZE, "patch_size": 8, "initializer_range": 0.3},
        **NAMES,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    # as the published checkpoint still has it: no type, and one number for the size
    halves = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": True, "do_resize": True, **halves, "size": SIZE})
    )


def build_mobilevitv2(folder: Path) -> None:
    import torch
    from transformers import MobileViTV2Config, MobileViTV2ForImageClassification

    torch.manual_seed(5)
    config = MobileViTV2Config(
        **{"image_size": 2 * SIZE, "width_multiplier": 0.25, "initializer_range": 0.3},
        **{"n_attn_blocks": [1, 1, 1], "base_attn_unit_dims": [32, 32, 32]},
        **NAMES,
    )
    model = MobileViTV2ForImageClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=2)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                **{"image_processor_type": "MobileViTImageProcessor", "do_flip_channel_order": True, "resample": 2},
                **{"crop_size": {"height": 2 * SIZE, "width": 2 * SIZE}, "do_center_crop": True, "do_rescale": True},
                **{"do_resize": True, "rescale_factor": 1 / 255, "size": {"shortest_edge": 2 * SIZE + 8}},
            }
        )
    )


CHECKPOINTS = {"cpu": build_vit}
