"""Turns a typed, documented function into a `Tool`. Knows nothing of models, files on disk or front ends.

Name, description, JSON schema, argument check and help all come from the signature and the Google-style docstring.
Positional parameters are what a model or a person gives; keyword-only ones (`run`, a service) are given by the house.
"""

from __future__ import annotations

import functools
import inspect
import io
import threading
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, overload

import docstring_parser
import pydantic
from PIL.Image import Image
from pydantic import ConfigDict, Field

from assistant.artifacts import Document
from assistant.errors import BadToolCall, Cancelled, PluginError
from assistant.residents import Resident
from assistant.types import Artifact, Kind, ToolSpec

Effects = Literal["none", "writes", "outside"]
ARTIFACT_TYPES: dict[Any, Kind] = {Image: "image", Document: "document"}


@dataclass(frozen=True)
class Run:
    """What a running tool may ask of the house: a seed, ways to tell what it does and sees, whether it was stopped."""

    seed: int
    stop: threading.Event
    report: Callable[[float | None, str], None]
    send_preview: Callable[[bytes], None]
    keep_alt: Callable[[str, str], None] = lambda digest, text: None

    def progress(self, fraction: float | None, note: str = "") -> None:
        """Tell how far the work is (`fraction` in 0..1); raises `Cancelled` when the person pressed Stop."""
        self.check()
        self.report(fraction, note)

    def show(self, preview: Image) -> None:
        """Show a small picture of how the result looks so far; raises `Cancelled` like `progress`."""
        self.check()
        buffer = io.BytesIO()
        preview.convert("RGB").save(buffer, "JPEG", quality=80)
        self.send_preview(buffer.getvalue())

    def describe(self, image: Image, text: str) -> None:
        """Tell what a picture the tool was given shows, for those who do not see it."""
        self.keep_alt(image.info["digest"], text)

    def __reduce__(self) -> tuple[Any, ...]:
        """Send only the seed to another process: from there nothing is told, and Stop does not reach it."""
        return _silent_run, (self.seed,)

    def check(self) -> None:
        """Raise `Cancelled` when the person pressed Stop; call it between steps."""
        if self.stop.is_set():
            raise Cancelled("Stopped.")


def _silent_run(seed: int) -> Run:
    return Run(seed, threading.Event(), lambda fraction, note: None, lambda jpeg: None)


@dataclass(frozen=True)
class Tool:
    """A registered ability.

    `needs` are the models it works with, `artifacts` maps parameters to the kind of file they take, `any_file` says
    that it takes one of them, none being required, `illustrates` that the pictures it returns only show its answer, and
    `given` maps keyword-only parameters to the type of service that the house fills in.
    """

    name: str
    description: str
    function: Callable[..., Any]
    arguments: type[pydantic.BaseModel]
    artifacts: Mapping[str, Kind]
    given: Mapping[str, type]
    effects: Effects
    on_upload: bool
    any_file: bool
    illustrates: bool
    needs: tuple[Resident[Any], ...]
    relevance: Callable[..., float] | None
    examples: tuple[str, ...]

    def parameters(self, alive: Sequence[Artifact] | None = None) -> dict[str, Any]:
        """Return the JSON schema of the arguments; with `alive`, artifact parameters are enums of those handles.

        Of a tool that takes any file, a parameter for which alone there are files is then required.
        """
        schema: dict[str, Any] = _plain(self.arguments.model_json_schema())
        for name, kind in self.artifacts.items():
            schema["properties"][name]["x-artifact"] = kind
            if alive is not None:
                handles = [artifact.id for artifact in alive if artifact.kind == kind]
                _handle_node(schema["properties"][name])["enum"] = handles
        if self.any_file and alive is not None:
            usable = [name for name, kind in self.artifacts.items() if any(a.kind == kind for a in alive)]
            if len(usable) == 1:
                _require(schema, usable[0], self.artifacts)
        return schema

    def spec(self, alive: Sequence[Artifact], services: Mapping[type, Any], obstacle: str | None = None) -> ToolSpec:
        """Describe the tool to a language model; `services` are what `relevance` may ask for."""
        relevance = None
        if self.relevance is not None:
            given = {name: services[kind] for name, kind in self.given.items() if kind is not Run}
            relevance = functools.partial(self.relevance, **given)
        return ToolSpec(
            self.name,
            self.description,
            self.parameters(alive),
            self.examples,
            relevance,
            self.illustrates,
            self.missing(alive),
            obstacle,
        )

    def missing(self, alive: Sequence[Artifact]) -> tuple[Kind, ...]:
        """Return the kinds of file that the tool cannot do without and that there are none of."""
        kinds = {artifact.kind for artifact in alive}
        if self.any_file:
            return tuple(self.artifacts.values()) if kinds.isdisjoint(self.artifacts.values()) else ()
        needed = [kind for name, kind in self.artifacts.items() if self.arguments.model_fields[name].is_required()]
        return tuple(dict.fromkeys(kind for kind in needed if kind not in kinds))

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments converted and completed, or raise `BadToolCall` naming each wrong one."""
        try:
            checked = self.arguments.model_validate(dict(arguments))
        except pydantic.ValidationError as error:
            wrong = "; ".join(_complaint(e) for e in error.errors())
            known = ", ".join(self.arguments.model_fields) or "none"
            raise BadToolCall(f"{self.name}: {wrong}. Its arguments are: {known}.") from None
        return {name: getattr(checked, name) for name in self.arguments.model_fields}


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    effects: Effects = ...,
    on_upload: bool = ...,
    any_file: bool = ...,
    illustrates: bool = ...,
    needs: Sequence[Resident[Any]] = ...,
    relevance: Callable[..., float] | None = ...,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    effects: Effects = "none",
    on_upload: bool = False,
    any_file: bool = False,
    illustrates: bool = False,
    needs: Sequence[Resident[Any]] = (),
    relevance: Callable[..., float] | None = None,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Declare a function to be a tool.

    Args:
        function: The function; a `PluginError` names what its signature or docstring lacks.
        effects: "writes" when it changes what is stored, "outside" when it reaches beyond this machine.
        on_upload: Run it by itself on every attached file of the kind its only required parameter takes.
        any_file: It works on one file of one kind or another: its artifact parameters are optional, and it is offered
            where at least one of them can be given.
        illustrates: The pictures it returns only show its answer: "cut it out" then means the picture it was given.
        needs: The models it works with; where one cannot be had, the tool is not offered and says why.
        relevance: For a tool that holds something to ask about: given a request and the tool's services, the cosine
            similarity of the request to what is nearest in it.
    """
    build = functools.partial(
        _build,
        effects=effects,
        on_upload=on_upload,
        any_file=any_file,
        illustrates=illustrates,
        needs=tuple(needs),
        relevance=relevance,
    )
    return build if function is None else build(function)


def _build(function: Callable[..., Any], **declared: Any) -> Tool:
    doc = docstring_parser.parse(inspect.getdoc(function) or "", style=docstring_parser.DocstringStyle.GOOGLE)
    hints = typing.get_type_hints(function, include_extras=True)
    described = {p.arg_name: " ".join((p.description or "").split()) for p in doc.params}
    parameters = inspect.signature(function).parameters
    asked = {name: p for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY}
    if problems := _problems(doc, list(parameters), list(asked), hints, described):
        raise PluginError(f"{inspect.getsourcefile(function)}: {function.__name__}: {'; '.join(problems)}.")
    fields: dict[str, Any] = {
        name: (
            _as_handle(hints[name]),
            Field(default=... if p.default is p.empty else p.default, description=described[name]),
        )
        for name, p in asked.items()
    }
    long = f"\n\n{doc.long_description}" if doc.long_description else ""
    return Tool(
        name=function.__name__,
        description=f"{doc.short_description}{long}",
        function=function,
        arguments=pydantic.create_model(
            function.__name__, __config__=ConfigDict(extra="forbid", str_strip_whitespace=True), **fields
        ),
        artifacts={name: kind for name in asked if (kind := _artifact_kind(hints[name]))},
        given={name: hints[name] for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY},
        examples=_examples(doc),
        **declared,
    )


def _problems(
    doc: docstring_parser.Docstring,
    names: Sequence[str],
    asked: Sequence[str],
    hints: Mapping[str, Any],
    described: Mapping[str, str],
) -> list[str]:
    """Collect everything that a signature and its docstring lack, to be told at once."""
    problems = [] if doc.short_description else ["it has no docstring"]
    problems += [f"parameter {name!r} has no type hint" for name in names if name not in hints]
    problems += [f"parameter {name!r} has no line under Args:" for name in asked if not described.get(name)]
    problems += [f"Args: describes {name!r}, which is no parameter" for name in described if name not in asked]
    return problems


def _examples(doc: docstring_parser.Docstring) -> tuple[str, ...]:
    lines = [line for example in doc.examples for line in (example.description or "").splitlines()]
    return tuple(line.strip() for line in lines if line.strip())


def _artifact_kind(hint: Any) -> Kind | None:
    """Find the kind of file a hint takes: `Image`, `Image | None`, `Annotated[Image, …]`."""
    if hint in ARTIFACT_TYPES:
        return ARTIFACT_TYPES[hint]
    return next((kind for part in get_args(hint) if (kind := _artifact_kind(part))), None)


def _as_handle(hint: Any) -> Any:
    """Replace artifact types in a hint by `str`: a model names files by their handles."""
    if hint in ARTIFACT_TYPES:
        return str
    if get_origin(hint) is Annotated:
        return Annotated[_as_handle(hint.__origin__), *hint.__metadata__]
    if get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[tuple(_as_handle(part) for part in get_args(hint))]  # noqa: UP007
    return hint


def _plain(schema: Any) -> Any:
    """Drop pydantic's titles, which only repeat the parameter names."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "title" or isinstance(value, dict)}
    return [_plain(value) for value in schema] if isinstance(schema, list) else schema


def _handle_node(schema: dict[str, Any]) -> dict[str, Any]:
    """Find the string inside `str | None`."""
    return next((part for part in schema.get("anyOf", ()) if part.get("type") == "string"), schema)


def _require(schema: dict[str, Any], name: str, artifacts: Mapping[str, Kind]) -> None:
    """Make the artifact parameter `name` required and drop the others."""
    properties = schema["properties"]
    about = {key: properties[name][key] for key in ("description", "x-artifact")}
    kept = {key: node for key, node in properties.items() if key == name or key not in artifacts}
    schema["properties"] = kept | {name: _handle_node(properties[name]) | about}
    schema["required"] = [key for key in kept if key == name or key in schema.get("required", ())]


def _complaint(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{name!r} is missing"
    if error["type"] == "extra_forbidden":
        return f"there is no argument {name!r}"
    return f"{name!r} is {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
