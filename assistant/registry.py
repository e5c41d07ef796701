"""Finds the tools and runs their calls. Knows no tool by name and no language model.

`run` is the only place of the program that catches every exception: a plugin's bug becomes a failed result.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import pkgutil
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from PIL.Image import Image

from assistant.artifacts import ArtifactStore
from assistant.background import run_in_background
from assistant.errors import AssistantError, BadInput, BadToolCall, Cancelled, PluginError
from assistant.grammars import find_problem
from assistant.residents import residents, used
from assistant.tools import Run, Tool
from assistant.types import Artifact, CallProgress, Receipt, ToolCall, ToolResult, ToolSpec

log = logging.getLogger(__name__)


def discover(package: ModuleType) -> list[Tool]:
    """Import every module of `package` and return their tools by name; two of one name are a `PluginError`."""
    found: dict[str, Tool] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(package.__path__)):
        for value in vars(importlib.import_module(f"{package.__name__}.{module}")).values():
            if isinstance(value, Tool) and found.setdefault(value.name, value) is not value:
                raise PluginError(f"plugins/{module}.py: there is already a tool {value.name!r}; rename one of them.")
    return [found[name] for name in sorted(found)]


def obstacle(tool: Tool) -> str | None:
    """Say why a model that `tool` needs cannot be had here, or return None."""
    found = (residents().catalog.obstacle(model.role) for model in tool.needs)
    return next((why for why in found if why), None)


class Registry:
    """The tools of the house with the services it gives them."""

    def __init__(self, tools: Iterable[Tool], services: Mapping[type, Any]) -> None:
        """Hold `tools`; refused is a keyword-only parameter of a type that is neither `Run` nor in `services`, and
        parameters that no grammar can be made of."""
        self.tools = {tool.name: tool for tool in tools}
        self._services = services
        for tool in self.tools.values():
            if unknown := [name for name, kind in tool.given.items() if kind is not Run and kind not in services]:
                raise PluginError(f"{tool.name}: nothing is known to give its keyword-only parameters {unknown}.")
            if problem := find_problem(ToolSpec(tool.name, tool.description, tool.parameters())):
                raise PluginError(f"{tool.name}: its parameters cannot be had from a language model: {problem}.")

    def describe(self, alive: Sequence[Artifact]) -> list[ToolSpec]:
        """Describe all tools to a language model, also what keeps some from being called now."""
        return [tool.spec(alive, self._services, obstacle(tool)) for tool in self.tools.values()]

    def on_upload(self, artifact: Artifact) -> list[ToolCall]:
        """Return the calls that a freshly attached file sets off by itself."""
        return [
            ToolCall(f"{tool.name}-{artifact.id}", tool.name, {name: artifact.id})
            for tool in self.tools.values()
            if tool.on_upload and obstacle(tool) is None
            for name, kind in tool.artifacts.items()
            if kind == artifact.kind
        ]

    def get(self, name: str) -> Tool:
        """Return the tool `name`, or raise `BadToolCall` listing those there are."""
        if name not in self.tools:
            raise BadToolCall(f"There is no tool {name!r}. The tools are: {', '.join(self.tools)}.")
        return self.tools[name]

    def run(
        self, call: ToolCall, store: ArtifactStore, seed: int, stop: threading.Event
    ) -> Generator[CallProgress, None, ToolResult]:
        """Run `call` on a thread of its own, yield its progress, return its result; never raises for its mistakes.

        When `stop` is set the result comes at once; the thread leaves at the tool's next `run.check()`.
        """
        started = time.monotonic()

        def work(report: Callable[[CallProgress], None]) -> ToolResult:
            run = Run(
                seed,
                stop,
                report=lambda fraction, note: report(CallProgress(call, fraction, note)),
                send_preview=lambda jpeg: report(CallProgress(call, None, "", jpeg)),
                keep_alt=store.describe,
            )
            return self._outcome(call, store, run)

        try:
            return (yield from run_in_background(work, stop))
        except Cancelled as stopped:
            receipt = Receipt(round(time.monotonic() - started, 3), seed=seed)
            return ToolResult(call, str(stopped), failed=True, receipt=receipt)

    def _outcome(self, call: ToolCall, store: ArtifactStore, run: Run) -> ToolResult:
        started = time.monotonic()
        models: list[str] = []
        used.set(models)
        result = ToolResult(call, "", failed=True)
        try:
            tool = self.get(call.name)
            value = tool.function(**self._arguments(tool, call, store, run))
            text, data, artifacts = _pack(value, call.name, store)
            result = ToolResult(call, text, data, tuple(artifacts))
        except AssistantError as error:
            result = replace(result, text=str(error))
        except Exception as error:
            log.exception("the tool %s failed", call.name)
            text = f"{call.name} broke ({type(error).__name__}: {error}). Try other arguments or another tool."
            result = replace(result, text=text)
        receipt = Receipt(
            seconds=round(time.monotonic() - started, 3),
            models=tuple(dict.fromkeys(models)),
            seed=run.seed,
            digests=tuple(artifact.digest for artifact in result.artifacts),
        )
        return replace(result, receipt=receipt)

    def _arguments(self, tool: Tool, call: ToolCall, store: ArtifactStore, run: Run) -> dict[str, Any]:
        """Check the arguments, open the files they name, and add what the house gives."""
        arguments = tool.check(call.arguments)
        for name, kind in tool.artifacts.items():
            if arguments[name] is not None:
                artifact = store.get(arguments[name])
                if artifact.kind != kind:
                    there = ", ".join(other.id for other in store.all(kind)) or "none; one must be attached first"
                    raise BadToolCall(
                        f"{tool.name}: {name!r} must be {kind}, but {artifact.id} is {artifact.kind}. "
                        f"The files of kind {kind} are: {there}."
                    )
                arguments[name] = store.image(artifact) if kind == "image" else store.document(artifact)
        for name, service in tool.given.items():
            arguments[name] = run if service is Run else self._services[service]
        return arguments


def _pack(value: Any, name: str, store: ArtifactStore) -> tuple[str, Any, list[Artifact]]:
    """Split a tool's return value into text for the model, JSON data for programs, and artifacts for people.

    Pictures anywhere in it are stored and stand in the data as their handles. The text is the value itself if it is
    one, its field `text` if it has one, else the data as JSON. A text that the tool itself gave says what they show.
    """
    artifacts: list[Artifact] = []
    said = value.get("text") if isinstance(value, Mapping) else getattr(value, "text", None)
    alt = said if isinstance(said, str) else f"made by {name}"

    def plain(part: Any) -> Any:
        if isinstance(part, Image):
            artifacts.append(store.add_image(part, f"{name}.png", alt))
            return artifacts[-1].id
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            return {field.name: plain(getattr(part, field.name)) for field in dataclasses.fields(part)}
        if isinstance(part, Mapping):
            return {str(key): plain(item) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return [plain(item) for item in part]
        if part is None or isinstance(part, str | bool | int | float):
            return part
        raise BadInput(f"{name} returned a {type(part).__name__}, which is neither plain data nor a picture.")

    data = plain(value)
    text = data if isinstance(data, str) else said
    return text if isinstance(text, str) else json.dumps(data, ensure_ascii=False), data, artifacts
