"""The house keeps its order: imports point down, walls hold, files and functions stay small and say what they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("app.py", "assistant/**/*.py", "plugins/**/*.py")

# A module may import from its own floor and those below. A name that ends with .* stands for the whole package.
FLOORS: dict[int, tuple[str, ...]] = {
    0: ("assistant.background", "assistant.errors", "assistant.settings", "assistant.types", "assistant.zerogpu"),
    1: (
        "assistant.artifacts",
        "assistant.broker",
        "assistant.catalog",
        "assistant.chat_format",
        "assistant.claims.*",
        "assistant.choosing.*",
        "assistant.completions",
        "assistant.database",
        "assistant.embedder",
        "assistant.engine.*",
        "assistant.footprints",
        "assistant.formats.*",
        "assistant.grammars",
        "assistant.lanes",
        "assistant.llama",
        "assistant.narrowing",
        "assistant.nearness",
        "assistant.parking",
        "assistant.pictures",
        "assistant.prompts",
        "assistant.remote",
        "assistant.residents",
        "assistant.rounds",
        "assistant.sources",
        "assistant.speaker",
        "assistant.tools",
        "assistant.turns",
        "assistant.vision.*",
        "assistant.weights",
    ),
    2: (
        "assistant.agent",
        "assistant.exports",
        "assistant.history",
        "assistant.library.*",
        "assistant.registry",
        "plugins.*",
    ),
    3: ("assistant", "assistant.assistant"),
    4: ("assistant.cli", "assistant.printing", "assistant.shelf", "assistant.ui.*"),
    5: ("app", "assistant.__main__"),
}
PLUGIN_MAY_IMPORT = ("artifacts", "catalog", "errors", "library", "residents", "tools", "types", "vision.*", "zerogpu")

# Which rooms may import a package, and which only inside functions.
ENGINE, UI, API = "assistant.engine.*", "assistant.ui.*", "assistant.api.*"
MODELS = ("assistant.broker", "assistant.footprints", "assistant.residents", "assistant.weights")
WALLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "torch": ((ENGINE, *MODELS), ("plugins.*", "assistant.vision.*")),
    "transformers": ((ENGINE,), ("assistant.weights", "plugins.*", "assistant.vision.*")),
    "diffusers": ((), ("plugins.*", "assistant.vision.*")),
    "bitsandbytes": ((ENGINE,), ()),
    "llguidance": ((ENGINE,), ("assistant.grammars",)),
    "gradio": ((UI,), ()),
    "httpx2": ((), ("assistant.completions",)),
    "fastapi": ((API,), ()),
    "mcp": ((API,), ()),
}
# Packages that take long to import, and the rooms that may do so at their top level.
HEAVY = (
    *("diffusers", "faiss", "gradio", "httpx2", "huggingface_hub", "onnxruntime", "pypdfium2"),
    *("rapidocr", "sentence_transformers", "torch", "transformers"),
)
HEAVY_ROOMS = (ENGINE, UI)
FILE_LINES, FUNCTION_LINES = 300, 40

Function = ast.FunctionDef | ast.AsyncFunctionDef
When = Literal["top", "function", "typing"]


@dataclass(frozen=True)
class Import:
    """`target` is a module of ours or a dotted name of a foreign one."""

    target: str
    line: int
    when: When

    @property
    def package(self) -> str:
        return self.target.split(".")[0]


@dataclass(frozen=True)
class Module:
    """A parsed file of the house."""

    name: str
    file: str
    text: str
    tree: ast.Module
    imports: tuple[Import, ...]

    def within(self, *rooms: str) -> bool:
        """Tell whether the module is one of `rooms` or in a package `room.*`."""
        return any(
            f"{self.name}.".startswith(room[:-1]) if room.endswith(".*") else self.name == room for room in rooms
        )


class Reader(ast.NodeVisitor):
    """Collects the imports of one module, wherever they stand."""

    def __init__(self, package: list[str], ours: set[str]) -> None:
        self.package = package  # what `from . import` starts from
        self.ours = ours
        self.when: When = "top"
        self.found: list[Import] = []

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(alias.name, node.lineno, self.when) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        above = self.package[: len(self.package) + 1 - node.level] if node.level else []
        source = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            self.found.append(Import(inner if inner in self.ours else source, node.lineno, self.when))

    def visit_If(self, node: ast.If) -> None:
        typing_only = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self.visit_within("typing" if typing_only else self.when, node.body)
        self.visit_within(self.when, node.orelse)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.visit_within("function", node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_within("function", node.body)

    def visit_within(self, when: When, nodes: list[ast.stmt]) -> None:
        outer, self.when = self.when, when
        for node in nodes:
            self.visit(node)
        self.when = outer


@cache
def house() -> dict[str, Module]:
    """Parse every module by its name."""
    paths = {}
    for path in sorted(path for pattern in ROOMS for path in ROOT.glob(pattern)):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    modules = {}
    for name, path in paths.items():
        text = path.read_text("utf-8")
        tree = ast.parse(text, str(path))
        reader = Reader(name.split(".")[: None if path.stem == "__init__" else -1], set(paths))
        reader.visit(tree)
        modules[name] = Module(name, path.relative_to(ROOT).as_posix(), text, tree, tuple(reader.found))
    assert {"app", "assistant", "assistant.agent", "assistant.engine.decode", "plugins"} <= set(modules)
    return modules


def imports() -> Iterator[tuple[Module, Import]]:
    """Yield every import with the module it stands in."""
    for module in house().values():
        for found in module.imports:
            yield module, found


def our_imports() -> Iterator[tuple[Module, Import, Module]]:
    """Yield who imports which other module of the house."""
    for module, found in imports():
        if found.target in house():
            yield module, found, house()[found.target]


def floor(module: Module) -> int | None:
    return next((floor for floor, rooms in FLOORS.items() if module.within(*rooms)), None)


def way_back(start: str) -> list[tuple[Module, Import]]:
    """Return the shortest chain of imports from `start` to itself; empty where there is none."""
    chains: deque[tuple[str, list[tuple[Module, Import]]]] = deque([(start, [])])
    seen = set()
    while chains:
        name, chain = chains.popleft()
        for found in house()[name].imports:
            longer = [*chain, (house()[name], found)]
            if found.target == start:
                return longer
            if found.target in house() and found.target not in seen:
                seen.add(found.target)
                chains.append((found.target, longer))
    return []


def refuse(problems: Iterator[str]) -> None:
    """Fail with one line for each problem."""
    if found := list(problems):
        pytest.fail("\n".join(found), pytrace=False)


def test_every_module_has_a_floor() -> None:
    refuse(
        f"{module.file}:1: {module.name} stands on no floor; add it to FLOORS in tests/test_architecture.py."
        for module in house().values()
        if floor(module) is None
    )


def test_imports_never_point_up() -> None:
    refuse(
        f"{module.file}:{found.line}: floor {floor(module)} imports {other.name} of floor {floor(other)}."
        for module, found, other in our_imports()
        if (floor(module) or 0) < (floor(other) or 0)
    )


def test_there_are_no_cycles() -> None:
    chains = [chain for name in house() if (chain := way_back(name))]
    refuse(
        ", ".join(f"{module.file}:{found.line} imports {found.target}" for module, found in chain) + ": a cycle."
        for chain in chains
        if chain[0][0].name == min(module.name for module, _ in chain)
    )


def test_plugins_import_only_what_is_made_for_them() -> None:
    allowed = tuple(f"assistant.{name}" for name in PLUGIN_MAY_IMPORT)
    refuse(
        f"{module.file}:{found.line}: a plugin may import assistant.{{{','.join(PLUGIN_MAY_IMPORT)}}}, "
        f"not {other.name}."
        for module, found, other in our_imports()
        if module.within("plugins.*") and not other.within(*allowed)
    )


def test_third_party_packages_stay_behind_their_walls() -> None:
    refuse(
        f"{module.file}:{found.line}: {found.package} belongs only in {', '.join(WALLS[found.package][0])}"
        f"{''.join(f', inside functions also in {room}' for room in WALLS[found.package][1])}."
        for module, found in imports()
        if found.package in WALLS
        and not module.within(*WALLS[found.package][0])
        and not (found.when != "top" and module.within(*WALLS[found.package][1]))
    )


def test_heavy_packages_are_imported_inside_functions() -> None:
    refuse(
        f"{module.file}:{found.line}: {found.package} takes long to import; import it inside the function using it."
        for module, found in imports()
        if found.package in HEAVY and found.when == "top" and not module.within(*HEAVY_ROOMS)
    )


def test_importing_the_assistant_and_its_plugins_loads_nothing_heavy() -> None:
    names = ", ".join(module.name for module in house().values() if module.within("assistant", "plugins.*"))
    command = f"import sys, {names}; print(*sorted(set(sys.modules) & set({HEAVY})))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], "loaded by importing the assistant"


def test_every_module_opens_with_what_it_is() -> None:
    refuse(
        f"{module.file}:1: the module has no docstring."
        for module in house().values()
        if not ast.get_docstring(module.tree)
    )


def test_files_are_short() -> None:
    refuse(
        f"{module.file}:{lines}: the file has {lines} lines; {FILE_LINES} are the most."
        for module in house().values()
        if (lines := len(module.text.splitlines())) > FILE_LINES
    )


def test_functions_are_short() -> None:
    refuse(
        f"{module.file}:{node.lineno}: {node.name} has {lines} lines; {FUNCTION_LINES} are the most."
        for module in house().values()
        for node in ast.walk(module.tree)
        if isinstance(node, Function) and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    )


def public(tree: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    """Yield the public functions, classes and methods of a module; a stub of an overload has no docstring."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if "overload" not in [ast.unparse(mark) for mark in node.decorator_list]:
                yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def test_public_functions_and_classes_have_docstrings() -> None:
    refuse(
        f"{module.file}:{node.lineno}: {node.name} has no docstring."
        for module in house().values()
        if module.within("assistant.*")
        for node in public(module.tree)
        if not ast.get_docstring(node)
    )
