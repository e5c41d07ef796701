"""Answers a question about a PDF or a photo of a page with words that stand there, with LayoutLMv3.

Sources: Huang et al., "LayoutLMv3" (2022), https://arxiv.org/abs/2204.08387; Tito et al., "Hierarchical multimodal
transformers for Multi-Page DocVQA" (2022), https://arxiv.org/abs/2212.05935, for asking each page and keeping the best.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from PIL import Image as Pictures
from PIL import ImageDraw
from PIL.Image import Image
from pydantic import Field

from assistant.artifacts import Document
from assistant.errors import ToolError
from assistant.library import count_pages, draw_page
from assistant.residents import Weights, resident
from assistant.tools import Run, tool
from assistant.types import Progress
from assistant.vision.batches import in_batches
from assistant.vision.reading import Word, read_words, reader
from assistant.zerogpu import on_gpu

MOST_PAGES = 50
MOST_WORDS = 30  # of an answer
STRIDE = 128  # tokens that two windows of a long page share
YELLOW, STRENGTH = (255, 225, 0), 0.4  # of the highlight; 1 would hide the words
NARROW = 400  # pixels; a crop with no side as long is enlarged

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer with its page, counted from 1, and `score`, its probability in 0..1.

    `box` is (left, top, right, bottom) around its words in pixels of the page, drawn with 150 pixels an inch where it
    is one of a PDF; `crop` shows the lines it stands in, its words highlighted.
    """

    text: str
    answer: str
    score: float
    page: int
    box: Box
    crop: Image


@dataclass(frozen=True, slots=True)
class _Paper:
    """What is asked about: the numbers of the pages to look at, and how to get the picture of one."""

    name: str
    numbers: Sequence[int]
    picture: Callable[[int], Image]


@dataclass(frozen=True, slots=True)
class _Span:
    """Words `first` to `last`, both included, and the logarithm of their probability to be the answer."""

    first: int
    last: int
    score: float


@resident("docqa")
def answerer(weights: Weights, progress: Progress) -> Any:
    """Load the model with what prepares words and pictures for it: (tokenizer, image processor, model)."""
    from transformers import LayoutLMv3ForQuestionAnswering, LayoutLMv3ImageProcessorPil, LayoutLMv3Tokenizer

    return (
        LayoutLMv3Tokenizer.from_pretrained(weights.path),
        LayoutLMv3ImageProcessorPil.from_pretrained(weights.path, apply_ocr=False),
        weights.load(LayoutLMv3ForQuestionAnswering),
    )


@tool(needs=[reader, answerer], any_file=True, illustrates=True)
@on_gpu(seconds=60)
def answer_about_document(
    question: Annotated[str, Field(min_length=1)],
    document: Document | None = None,
    image: Image | None = None,
    page: Annotated[int, Field(ge=1)] | None = None,
    *,
    run: Run,
) -> Answer:
    """Answer a question about a PDF, scanned or not, or about a photo of a page, and show where the answer stands.

    The answer is a few words of the page itself: a name, a date, an amount. Name either a document or an image.

    Args:
        question: The question, in English.
        document: The PDF to look at.
        image: The photo or scan of a page to look at.
        page: The only page of the PDF to look at, counted from 1; without it all are.

    Examples:
        How much do I have to pay according to this invoice?
        Who signed the contract on page 3?
        By when must the form be handed in?
    """
    paper = _open(document, image, page)
    words = _read(paper, run)
    number, span, doubtful = _find(question, paper, words, run)
    run.progress(None, "marking the answer")
    found = words[number][span.first : span.last + 1]
    answer = " ".join(word.text for word in found)
    text = f"{answer} (page {number})" if document else answer
    return Answer(
        text=f"I am not sure. It may be: {text}" if doubtful else text,
        answer=answer,
        score=round(math.exp(span.score), 4),
        page=number,
        box=_around(found),
        crop=_highlight(paper.picture(number), found, words[number]),
    )


def _open(document: Document | None, image: Image | None, page: int | None) -> _Paper:
    if image is not None and document is None:
        if page not in (None, 1):
            raise ToolError("A picture has only one page. Ask again without a page.")
        return _Paper("the picture", (1,), lambda number: image)
    if document is None or image is not None:
        raise ToolError("Name one file to look at: either a document (a PDF) or an image (a photo of a page).")
    count = count_pages(document)
    if page is not None and page > count:
        raise ToolError(f"{document.name!r} has no page {page}; its last is {count}. Name one of them.")
    if page is None and count > MOST_PAGES:
        raise ToolError(
            f"{document.name!r} has {count} pages; {MOST_PAGES} are the most to be looked at for one question. "
            "Name the page to look at, or use search_library to find it."
        )
    numbers = range(1, count + 1) if page is None else (page,)
    return _Paper(repr(document.name), numbers, lambda number: draw_page(document, number))


def _read(paper: _Paper, run: Run) -> Mapping[int, Sequence[Word]]:
    """Return the words of every page that has some; only one page's picture is in memory at a time."""
    words = {}
    for done, number in enumerate(paper.numbers):
        run.progress(done / len(paper.numbers) / 2, f"reading page {number}")
        if found := read_words(paper.picture(number), run.stop, run.report):
            words[number] = found
    if not words:
        raise ToolError(f"No text was found in {paper.name}. A sharper or larger copy may help.")
    return words


def _find(question: str, paper: _Paper, words: Mapping[int, Sequence[Word]], run: Run) -> tuple[int, _Span, bool]:
    """Return the page of the best answer, the answer, and whether the model was trained to doubt one of its score."""
    spans: dict[int, _Span] = {}
    with answerer(run.stop, run.report) as (tokenizer, image_processor, model):
        for done, number in enumerate(words):
            run.progress(0.5 + done / len(words) / 2, f"looking for the answer on page {number}")
            picture = paper.picture(number)
            windows = _windows(tokenizer, question, words[number], picture.size, model.config)
            pixels = image_processor(picture, return_tensors="pt")["pixel_values"]
            spans[number] = _best(model, windows, pixels, run)
        threshold = getattr(model.config, "abstain_below", None)
    best = max(spans, key=lambda number: spans[number].score)
    return best, spans[best], threshold is not None and math.exp(spans[best].score) < threshold


def _windows(tokenizer: Any, question: str, words: Sequence[Word], size: tuple[int, int], config: Any) -> Any:
    """Encode question and words in pieces that the model can take; boxes are in thousandths of the page."""
    limit = config.max_position_embeddings - 2  # positions count from the padding token's id, 1, on
    asked = len(tokenizer(question.split(), boxes=[[0] * 4] * len(question.split()))["input_ids"])
    if limit - asked - 2 < 2 * STRIDE:
        raise ToolError("The question is too long. Ask it in one short sentence.")
    width, height = size
    scale = (width, height, width, height)
    return tokenizer(
        question,
        [word.text for word in words],
        boxes=[[1000 * place // side for place, side in zip(word.box, scale, strict=True)] for word in words],
        truncation="only_second",
        max_length=limit,
        stride=STRIDE,
        return_overflowing_tokens=True,
    )


def _best(model: Any, windows: Any, pixels: Any, run: Run) -> _Span:
    """Return the likeliest span of words of a page.

    A position's probability is among all text of its window, the question and the marks around it too, where the model
    points when the answer is elsewhere; the picture's patches, which follow the text, are no words.
    """
    import torch

    def look(places: Sequence[int]) -> _Span:
        (place,) = places
        ids = windows["input_ids"][place]
        boxes = torch.tensor([windows["bbox"][place]], device=model.device)
        seen = pixels.to(model.device, model.dtype)
        with torch.inference_mode():
            output = model(torch.tensor([ids], device=model.device), bbox=boxes, pixel_values=seen)
        starts = output.start_logits[0, : len(ids)].float().log_softmax(0).cpu()
        ends = output.end_logits[0, : len(ids)].float().log_softmax(0).cpu()
        belongs = zip(windows.sequence_ids(place), windows.word_ids(place), strict=True)
        return _likeliest(starts, ends, [word if part == 1 else None for part, word in belongs])

    spans = in_batches(range(len(windows["input_ids"])), 1, look, run.stop)
    return max(spans, key=lambda span: span.score)


def _likeliest(starts: Any, ends: Any, words: Sequence[int | None]) -> _Span:
    """Return the best span of a window; `words` tells which word of the page a token is part of, if any.

    Args:
        starts: (tokens,) float, the logarithm of the probability that the answer begins there.
        ends: The same, that it ends there.
        words: (tokens,), None for what is no word of the page.
    """
    import torch

    context = [place for place, word in enumerate(words) if word is not None]
    of = torch.tensor([words[place] for place in context])
    length = of[None, :] - of[:, None]  # in words, less one; tokens of one word may only stand in their order
    order = torch.ones_like(length).triu().bool()
    scores = (starts[context, None] + ends[None, context]).masked_fill(~order | (length >= MOST_WORDS), -math.inf)
    start, end = divmod(int(scores.argmax()), len(context))
    return _Span(int(of[start]), int(of[end]), float(scores[start, end]))


def _highlight(page: Image, found: Sequence[Word], words: Sequence[Word]) -> Image:
    """Mark the words and cut out the lines they stand in, with a margin; enlarge what would be tiny."""
    mask = Pictures.new("L", page.size)
    pen = ImageDraw.Draw(mask)
    for word in found:
        left, top, right, bottom = word.box
        pen.rectangle((left, top, right - 1, bottom - 1), fill=round(255 * STRENGTH))
    marked = page.copy()
    marked.paste(YELLOW, mask=mask)
    _, top, _, bottom = _around(found)
    beside = [word for word in words if word.box[1] < bottom and word.box[3] > top]
    left, top, right, bottom = _around(beside)
    margin = max(word.box[3] - word.box[1] for word in found)
    crop = marked.crop(
        (
            max(0, left - margin),
            max(0, top - margin),
            min(page.width, right + margin),
            min(page.height, bottom + margin),
        )
    )
    scale = math.ceil(NARROW / max(crop.size))
    return crop.resize((crop.width * scale, crop.height * scale), Pictures.Resampling.LANCZOS) if scale > 1 else crop


def _around(words: Sequence[Word]) -> Box:
    lefts, tops, rights, bottoms = zip(*(word.box for word in words), strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
