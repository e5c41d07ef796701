"""How fast tokens come one after another: ours against transformers' `generate` and llama.cpp, in tokens a second.

On a CPU: the embedded model, after a short and after a long prompt. On a GPU: Llama-3.1-8B's shape in 4 bits.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from assistant.engine.decode import Engine
from bench._llama31 import LLAMA31, Random8B, bytes_per_token, copy_bandwidth
from bench._measure import Figure, in_turns, left_out, milliseconds, ratio
from bench._peers import NO_LLAMA_CPP, Embedded, Generate, Ours, Peer

ROUNDS = 5
TOKENS = 96
PROMPTS = (64, 1500)  # tokens
GPU_TOKENS = 256
GPU_PROMPTS = (512, 4000)  # tokens


def run() -> Iterator[Figure]:
    """Yield one figure after another."""
    home = Embedded()
    ours = home.ours(home.quantize)
    seconds = home.compile(ours)
    yield {"figure": f"making the compiled {home.quantize} pass, once; 0 if it was made", "seconds": round(seconds, 1)}
    peers: dict[str, Peer] = {
        "ours": ours,
        "ours, not compiled": Ours(Engine(ours.engine.model)),
        "ours int8, not compiled": home.ours("int8"),
        "ours NF4, not compiled": home.ours("nf4"),
        "ours bf16, not compiled": home.ours("none"),
        "generate NF4": Generate(home.plain(nf4=True)),
        "generate bf16": Generate(home.plain()),
    }
    if llama := home.llama_cpp():
        peers["llama.cpp"] = llama
    for length in PROMPTS:
        yield from _after(home.piece(0, length), peers)


def _after(prompt: list[int], peers: Mapping[str, Peer]) -> Iterator[Figure]:
    seconds = in_turns({name: partial(_step, peer, prompt, TOKENS) for name, peer in peers.items()}, ROUNDS)
    where = f"decode after {len(prompt)} tokens"
    for mine, theirs in (
        ("ours", "generate bf16"),
        ("ours", "generate NF4"),
        ("ours", "llama.cpp"),
        ("ours", "ours, not compiled"),
        ("ours", "ours int8, not compiled"),
        ("ours NF4, not compiled", "generate NF4"),
        ("ours bf16, not compiled", "generate bf16"),
    ):
        figure = f"{where}: {mine} / {theirs}"
        yield ratio(figure, seconds[theirs], seconds[mine]) if theirs in seconds else left_out(figure, NO_LLAMA_CPP)


def _step(peer: Peer, prompt: list[int], tokens: int) -> float:
    return peer.answer(prompt, tokens).step


def run_on_gpu(shape: Mapping[str, Any] = LLAMA31, device: str = "cuda", gibibytes: float = 4.0) -> Iterator[Figure]:
    """Yield the figures of a GPU; another `shape` and `device` try out this code where there is none."""
    same = Random8B(shape, device)
    mine = {"ours": same.ours, "ours, 4-bit head": same.small_head}
    for length in GPU_PROMPTS:
        prompt = same.ids(0, length)
        peers: dict[str, Peer] = {**mine, "generate NF4": same.bare}
        works = {name: partial(_step, peer, prompt, GPU_TOKENS) for name, peer in peers.items()}
        seconds = in_turns(works, ROUNDS)
        bandwidth = copy_bandwidth(device, gibibytes)
        for name, ours in mine.items():
            where = f"decode after {length} tokens: {name}"
            yield ratio(f"{where} / generate NF4", seconds["generate NF4"], seconds[name])
            read = bytes_per_token(ours.engine.model, length + GPU_TOKENS // 2)
            yield {
                "figure": f"{where}, bytes read a second / bytes that a copy of {gibibytes} GiB moves a second",
                "ratio": round(read / statistics.median(seconds[name]) / bandwidth, 3),
                "ours_ms": milliseconds(seconds[name]),
                "read_gb": round(read / 1e9, 2),
                "copy_gb_per_second": round(bandwidth / 1e9, 1),
            }
