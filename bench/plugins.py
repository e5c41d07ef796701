"""What the house adds to a model: each plugin against the bare transformers or diffusers call on the same weights.

Peers take turns in one run; figures are medians in milliseconds. Without the hub the weights are tiny random ones of
the true classes, so the models' own time is small and what the house adds is seen in full. Also: a batch of captions
against one by one, and a model that comes back against one that is loaded for the first time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from assistant import Assistant
from assistant.residents import declared, residents
from assistant.settings import Settings
from tests.tiny import assistant_with

ROUNDS = 15
ROLES = ("caption", "vqa", "features", "detect", "paint", "preview")
Bare = Callable[[Path], Any]


def run() -> Iterator[dict[str, Any]]:
    """Yield one figure after another."""
    with tempfile.TemporaryDirectory() as folder:
        # read when huggingface_hub is imported, which is later: tiny weights must not enter the real cache
        os.environ |= {"HF_HOME": folder, "HF_HUB_OFFLINE": "1"}
        # read when torch is imported: work so small, shared by threads, measures how busy their cores are with others
        os.environ["OMP_NUM_THREADS"] = "1"
        maru = assistant_with(Settings(data=Path(folder) / "data"), Path(folder), "cpu", *ROLES)
        photo = Path(folder) / "photo.png"
        Image.effect_noise((320, 240), 80).convert("RGB").save(photo)
        for name, (arguments, bare) in PEERS.items():
            yield _overhead(maru, name, arguments, bare, photo)
        yield _batch(photo)
        yield from _swaps()
        maru.close()


def _overhead(maru: Assistant, name: str, arguments: dict[str, Any], bare: Bare, photo: Path) -> dict[str, Any]:
    takes_image = "image" in maru.tools[name].artifacts
    conversation = maru.conversations.create()
    given = {**arguments, **({"image": str(photo)} if takes_image else {})}
    first = maru.call(name, conversation, **given)
    if first.failed:
        raise RuntimeError(first.text)
    if takes_image:
        given["image"] = "image-1"  # as the model names it: what is measured is the call, not the upload
    ours, theirs = _in_turns(lambda: maru.call(name, conversation, **given), lambda: bare(photo))
    return {
        "figure": f"{name}: ours / bare",
        "ratio": round(ours / theirs, 3),
        "ours_ms": round(ours, 2),
        "bare_ms": round(theirs, 2),
        "overhead_ms": round(ours - theirs, 2),
    }


def _batch(photo: Path) -> dict[str, Any]:
    from assistant.vision.captions import describe

    pictures = [Image.open(photo).convert("RGB") for _ in range(32)]
    together, single = _in_turns(
        lambda: describe(pictures, 10), lambda: [describe([picture], 10) for picture in pictures], rounds=3
    )
    return {
        "figure": "32 captions: one by one / in batches",
        "ratio": round(single / together, 2),
        "batches_ms": round(together, 1),
        "one_by_one_ms": round(single, 1),
    }


def _swaps() -> Iterator[dict[str, Any]]:
    for role in ROLES[:-1]:
        started = time.perf_counter()
        residents().unload(role)
        with declared[role]():
            again = time.perf_counter() - started
        cold = next(row.load_seconds for row in residents().status() if row.role == role)
        yield {
            "figure": f"{role}: leaving and coming back",
            "again_ms": round(again * 1000, 1),
            "load_ms": round((cold or 0) * 1000, 1),
        }


def _in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the median milliseconds of both, run alternately after one run each to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for place, work in enumerate((ours, theirs)):
            started = time.perf_counter()
            work()
            if number:
                times[place].append((time.perf_counter() - started) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def _bare_caption(photo: Path) -> Any:
    import torch

    with declared["caption"]() as (processor, model), torch.inference_mode():
        pixels = processor(images=[Image.open(photo).convert("RGB")], return_tensors="pt")["pixel_values"]
        rows = model.generate(pixel_values=pixels, do_sample=False, num_beams=1, max_new_tokens=121)
        return processor.batch_decode(rows, skip_special_tokens=True)


def _bare_vqa(photo: Path) -> Any:
    import torch

    with declared["vqa"]() as (processor, model), torch.inference_mode():
        inputs = processor(Image.open(photo).convert("RGB"), "what is it", return_tensors="pt")
        return model(**inputs).logits.argmax()


def _bare_classify(photo: Path) -> Any:
    import torch

    with declared["features"]() as (processor, model), torch.inference_mode():
        words = ["a photo of a cat", "a photo of a dog"]
        inputs = processor(text=words, images=Image.open(photo).convert("RGB"), return_tensors="pt", padding=True)
        return model(**inputs).logits_per_image.softmax(-1)


def _bare_detect(photo: Path) -> Any:
    import torch

    with declared["detect"]() as (processor, model), torch.inference_mode():
        inputs = processor(text=[["a photo of a cat"]], images=Image.open(photo).convert("RGB"), return_tensors="pt")
        return model(**inputs)


def _bare_paint(photo: Path) -> Any:
    import torch

    with declared["paint"]() as painter:
        generator = torch.Generator("cpu").manual_seed(0)
        return painter.from_words("a cat", num_inference_steps=4, guidance_scale=0.0, generator=generator).images


PEERS: dict[str, tuple[dict[str, Any], Bare]] = {
    "describe_image": ({}, _bare_caption),
    "answer_about_image": ({"question": "what is it"}, _bare_vqa),
    "classify_image": ({"labels": ["cat", "dog"]}, _bare_classify),
    "find_objects": ({"what": "cat"}, _bare_detect),
    "paint_image": ({"prompt": "a cat"}, _bare_paint),
}
