"""How fast a new prompt is read: the time to the first token of an answer, with nothing read before."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from bench._measure import Figure, in_turns, left_out, ratio
from bench._peers import NO_LLAMA_CPP, Embedded, Generate, Peer

ROUNDS = 7
LENGTH = 512  # tokens


def run() -> Iterator[Figure]:
    """Yield one figure after another."""
    home = Embedded()
    peers: dict[str, Peer] = {
        "ours": home.compiled(),
        "generate bf16": Generate(home.plain()),
        "generate NF4": Generate(home.plain(nf4=True)),
    }
    if llama := home.llama_cpp():
        peers["llama.cpp"] = llama
    prompt = home.piece(0, LENGTH)

    def first(peer: Peer) -> float:
        peer.forget()
        return peer.answer(prompt, 1).first

    seconds = in_turns({name: partial(first, peer) for name, peer in peers.items()}, ROUNDS)
    for name in ("llama.cpp", "generate bf16", "generate NF4"):
        figure = f"prefill of {LENGTH} tokens: ours / {name}"
        yield ratio(figure, seconds[name], seconds["ours"]) if name in seconds else left_out(figure, NO_LLAMA_CPP)
