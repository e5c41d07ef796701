"""classify_image ranks labels with the bare models' probabilities, draws them, and refuses odd labels in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assistant import Assistant
from assistant.residents import Weights, residents
from plugins import classify_image as plugin
from plugins.classify_image import BAR, FONT, MARGIN, ROW, WIDTH, draw_chart, share
from tests.tiny.classify import LABELS, build_mobilevitv2


@pytest.fixture
def assistant(tiny: Callable[..., Assistant]) -> Assistant:
    return tiny("cpu", "features", "classify")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(6).integers(0, 255, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def fetched(role: str) -> Path:
    return residents().catalog.fetch(role, lambda fraction, note: None)


def filled(chart: Image.Image, row: int) -> int:
    """Count the pixels of a bar along its middle."""
    height = MARGIN // 2 + ROW * row + FONT + 8 + 7
    return sum(chart.getpixel((x, height)) == BAR for x in range(WIDTH))


def test_given_labels_are_ranked_as_the_bare_clip_ranks_them(assistant: Assistant, photo: Path) -> None:
    from transformers import CLIPModel, CLIPProcessor

    labels = ["cat", "dog", "old house"]
    processor, model = (
        CLIPProcessor.from_pretrained(fetched("features")),
        CLIPModel.from_pretrained(fetched("features")),
    )
    with Image.open(photo) as image:
        prompts = [f"a photo of a {label}" for label in labels]
        inputs = processor(text=prompts, images=image, padding=True, return_tensors="pt")
    probabilities = model.eval()(**inputs).logits_per_image.softmax(1)[0].tolist()
    expected = sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1])
    result = assistant.call("classify_image", image=str(photo), labels=[f" {label} " for label in labels])
    assert not result.failed, result.text
    assert [label for label, _ in result.data["labels"]] == [label for label, _ in expected]
    assert [p for _, p in result.data["labels"]] == pytest.approx([p for _, p in expected], abs=1e-3)
    assert result.text == f"Most likely: {'; '.join(f'{label} ({share(p)})' for label, p in expected)}."


def test_without_labels_the_classifier_names_its_own(assistant: Assistant, photo: Path) -> None:
    from transformers import ViTForImageClassification, ViTImageProcessorPil

    path = fetched("classify")
    processor, model = ViTImageProcessorPil.from_pretrained(path), ViTForImageClassification.from_pretrained(path)
    with Image.open(photo) as image:
        pixels = processor(image, return_tensors="pt")["pixel_values"]
    probabilities = model.eval()(pixels).logits[0].softmax(0)
    best = probabilities.topk(10)
    result = assistant.call("classify_image", image=str(photo))
    assert [label for label, _ in result.data["labels"]] == [LABELS[i] for i in best.indices.tolist()]
    assert [p for _, p in result.data["labels"]] == pytest.approx(best.values.tolist(), abs=1e-3)
    assert result.receipt is not None and [m.split("@")[0] for m in result.receipt.models] == ["ViT-B/16"]


def test_each_way_uses_only_its_own_model(assistant: Assistant, photo: Path) -> None:
    receipt = assistant.call("classify_image", image=str(photo), labels=["cat", "dog"]).receipt
    assert receipt is not None and [m.split("@")[0] for m in receipt.models] == ["CLIP ViT-B/32"]


def test_a_mobilevit_gets_its_colors_in_its_own_order(
    assistant: Assistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import MobileViTV2ForImageClassification

    folder = tmp_path / "mobilevitv2"
    folder.mkdir()
    build_mobilevitv2(folder)
    weights = Weights(residents().catalog.choose("classify").entry, folder)
    processor, model = plugin.classifier._load(weights, lambda fraction, note: None)
    assert isinstance(model, MobileViTV2ForImageClassification)
    pixels = processor(images=Image.new("RGB", (9, 9), (255, 0, 0)), return_tensors="np")["pixel_values"][0]
    assert pixels[:, 5, 5].tolist() == [0, 0, 1], "red stands last"

    monkeypatch.setattr(plugin, "classifier", lambda stop, report: contextlib.nullcontext((processor, model)))
    strip = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 3000, 3), dtype=np.uint8))
    strip.save(tmp_path / "strip.png")
    found = assistant.call("classify_image", image=str(tmp_path / "strip.png")).data["labels"]
    bare = model(processor(images=strip, return_tensors="pt")["pixel_values"]).logits[0].softmax(0)
    assert bare.max() > 0.3, "the checkpoint must have an opinion"
    assert found[0] == [LABELS[int(bare.argmax())], pytest.approx(bare.max().item(), abs=0.02)]


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (["cat"], "'cat' is the only label. Give at least two to choose from, or none."),
        (["cat", "  ", "dog"], "Label 2 is empty. Fill it in or leave it out."),
        (["cat", "dog", " Cat"], "The label 'Cat' is there twice. Give each label once."),
        ([f"thing {i}" for i in range(101)], "There are 101 labels; give at most 100."),
    ],
)
def test_bad_labels_are_refused_in_a_sentence(
    assistant: Assistant, photo: Path, labels: list[str], sentence: str
) -> None:
    result = assistant.call("classify_image", image=str(photo), labels=labels)
    assert result.failed and result.text == sentence


def test_a_hundred_labels_are_ranked_and_ten_are_drawn(assistant: Assistant, photo: Path) -> None:
    result = assistant.call("classify_image", image=str(photo), labels=[f"thing {i}" for i in range(100)])
    probabilities = [p for _, p in result.data["labels"]]
    assert len(probabilities) == 100
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=0.01)
    (chart,) = result.artifacts
    assert result.data["chart"] == chart.id
    with Image.open(assistant.path(chart)) as drawn:
        assert drawn.size == (WIDTH, 10 * ROW + MARGIN)


def test_bars_are_as_long_as_their_shares() -> None:
    longest = WIDTH - 2 * MARGIN
    chart = draw_chart([("cat", 1.0), ("dog", 0.25), ("a label much longer than any bar could be " * 3, 0.0)])
    assert [filled(chart, row) for row in range(3)] == [longest, longest / 4, 0]
    edge = chart.crop((WIDTH - MARGIN + 2, 0, WIDTH, chart.height))
    assert edge.getextrema() == ((255, 255),) * 3, "nothing is written beyond the margin"


@pytest.mark.parametrize(
    ("probability", "text"), [(1, "100 %"), (0.934, "93 %"), (0.01, "1 %"), (0.0099, "< 1 %"), (0, "< 1 %")]
)
def test_shares_are_written_for_people(probability: float, text: str) -> None:
    assert share(probability) == text


def test_the_schema_shows_a_list_of_strings_that_may_be_left_out(assistant: Assistant) -> None:
    schema = assistant.tools["classify_image"].parameters()
    assert schema["required"] == ["image"]
    assert schema["properties"]["labels"]["type"] == "array"
    assert schema["properties"]["labels"]["items"] == {"type": "string"}
