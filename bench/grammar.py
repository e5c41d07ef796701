"""What staying inside a grammar costs a token, and what it saves where only one thing may follow."""

from __future__ import annotations

import time
from collections.abc import Iterator

import plugins
from assistant.choosing.grammar import said_grammar
from assistant.engine.grammar import Vocabulary
from assistant.grammars import call_grammar
from assistant.registry import discover
from assistant.types import Artifact, ToolSpec
from bench._measure import Figure, in_turns, ratio
from bench._peers import Embedded, Ours

ROUNDS = 7
TOKENS = 128
FILES = (
    Artifact("image-1", "image", "image/png", "cat.png", "aa", 1),
    Artifact("document-1", "document", "application/pdf", "lease.pdf", "bb", 1),
)
ANYTHING = r"start: /(.|\n)*/"
REQUEST = "when is the rent of the flat in Alder Street due, and how much is it in winter"


def run() -> Iterator[Figure]:
    """Yield one figure after another."""
    home = Embedded()
    ours = home.compiled()
    vocabulary = Vocabulary(home.tokenizer, ours.engine.vocabulary_size)
    # `relevance`, which alone needs more, is for choosing
    tools = [ToolSpec(tool.name, tool.description, tool.parameters(FILES)) for tool in discover(plugins)]
    calls = call_grammar(tools)
    for name, lark in (("any text", ANYTHING), (f"words or a call of one of {len(tools)} tools", calls)):
        yield _cost(name, lark, home, ours, vocabulary)
    search = next(tool for tool in tools if tool.name == "search_library")
    yield from _call("the model's own", calls.replace("start: words | ", "start: "), home, ours, vocabulary)
    said = said_grammar(search.parameters["properties"], ["query"], [REQUEST])
    yield from _call("what was said, as arguments of a", said, home, ours, vocabulary)
    yield _making(calls, home, ours, vocabulary)


def _cost(name: str, lark: str, home: Embedded, ours: Ours, vocabulary: Vocabulary) -> Figure:
    prompt = home.piece(0, 200)
    # a grammar that may end here would let the model end, and both are to say the same
    free = ours.answer(prompt, TOKENS)
    held = ours.answer(prompt, TOKENS, vocabulary.constraint(lark))
    length = len(held.ids)
    seconds = in_turns(
        {
            "held": lambda: ours.answer(prompt, length, vocabulary.constraint(lark)).step,
            "free": lambda: ours.answer(prompt, length).step,
        },
        ROUNDS,
    )
    figure = ratio(f"a token under a grammar of {name} / free", seconds["held"], seconds["free"], ("held", "free"))
    return figure | {"tokens": length, "same_text": held.ids == free.ids[:length]}


def _call(name: str, lark: str, home: Embedded, ours: Ours, vocabulary: Vocabulary) -> Iterator[Figure]:
    prompt = home.tokenizer.encode(f"<|im_start|>user\n{REQUEST}<|im_end|>\n<|im_start|>assistant\n")
    call = ours.answer(prompt, TOKENS, vocabulary.constraint(lark))
    length = len(call.ids)
    passes = call.passes + 1  # the first reads the prompt
    text = home.tokenizer.decode(call.ids)
    yield {
        "figure": f"{name} call: passes / tokens",
        "ratio": round(passes / length, 3),
        "tokens": length,
        "call": text,
    }
    seconds = in_turns(
        {
            "call": lambda: ours.answer(prompt, TOKENS, vocabulary.constraint(lark)).whole,
            "free": lambda: ours.answer(prompt, length).whole,
        },
        ROUNDS,
    )
    figure = f"{name} call of {length} tokens / as many free tokens"
    yield ratio(figure, seconds["call"], seconds["free"], ("call", "free"))


def _making(lark: str, home: Embedded, ours: Ours, vocabulary: Vocabulary) -> Figure:
    def make() -> float:
        started = time.perf_counter()
        vocabulary.constraint(lark)
        return time.perf_counter() - started

    prompt = home.piece(0, 200)
    seconds = in_turns({"making": make, "token": lambda: ours.answer(prompt, 16).step}, ROUNDS)
    return ratio(
        "making the grammar of all tools / a free token", seconds["making"], seconds["token"], ("making", "token")
    )
