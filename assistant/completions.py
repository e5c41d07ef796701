"""One server that speaks OpenAI's chat completions: its models, and its streams. Knows HTTP and JSON, no message.

It is asked directly: no proxy, no redirect, no saved login of other services, so that nothing goes anywhere else. What
goes wrong becomes a sentence, in which the key never stands.

Source: the OpenAI API reference, "Chat completions streaming", which vLLM, llama.cpp and Ollama follow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pydantic

from assistant.background import run_in_background
from assistant.errors import AssistantError, BadInput, Cancelled, ModelUnavailable

if TYPE_CHECKING:
    import httpx2

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 300.0  # a long prompt on a slow or busy server; Stop ends the wait at any time
POLL_SECONDS = 0.05
SHOWN_CHARACTERS = 300  # of what a server says in an error
OPTIONAL = ("parallel_tool_calls", "seed", "stream_options")  # left out where a server refuses them by name
TOO_LONG = re.compile(
    r"context.{0,5}(length|size|window)|maximum model length|(prompt|input|request) (is )?too (long|large)", re.I
)


class TooLong(BadInput):
    """The server reads less than it was sent."""


class Function(pydantic.BaseModel):
    """A piece of a call: the whole name, and some of the text of its arguments."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallDelta(pydantic.BaseModel):
    """A piece of one of the calls of a reply, which `index` or `id` tells apart."""

    index: int | None = None
    id: str | None = None
    function: Function = Function()


class Delta(pydantic.BaseModel):
    """What a chunk adds to the reply."""

    content: str | None = None
    tool_calls: list[CallDelta] | None = None


class Choice(pydantic.BaseModel):
    """One of several replies; only one is ever asked for."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Details(pydantic.BaseModel):
    """How much of the prompt came from the server's cache, in tokens."""

    cached_tokens: int | None = None


class Count(pydantic.BaseModel):
    """What a reply took, in tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: Details | None = None


class Chunk(pydantic.BaseModel):
    """One event of a stream."""

    choices: list[Choice] | None = None
    usage: Count | None = None
    error: Any = None


@dataclass(frozen=True, slots=True)
class Server:
    """The server whose endpoints lie below `url`; `key` is sent to it and shown to nobody."""

    url: str
    key: str = field(default="", repr=False)

    def models(self) -> list[str]:
        """Return the names of the models it has."""
        import httpx2

        with self._in_words(), httpx2.Client(timeout=CONNECT_SECONDS, **self._manners()) as client:
            response = client.get(f"{self.url}/models")
        if response.status_code != 200:
            raise self._refusal(response.status_code, response.text, "")
        try:
            return [str(model["id"]) for model in response.json()["data"]]
        except (ValueError, KeyError, TypeError):
            raise ModelUnavailable(f"{self._name} does not list its models. Set ASSISTANT_REMOTE_MODEL.") from None

    def stream(self, body: Mapping[str, Any], stop: threading.Event) -> Generator[Chunk, None, None]:
        """Send `body` and yield the chunks of the reply as they come.

        Raises `Cancelled` when `stop` is set, and `TooLong`; the connection is then closed at once, also while the
        server is silent, so that it stops too.
        """

        def work(report: Callable[[Chunk], None]) -> None:
            asyncio.run(_until_stopped(self._read(body, report), stop))

        yield from run_in_background(work, stop)

    async def _read(self, body: Mapping[str, Any], report: Callable[[Chunk], None]) -> None:
        import httpx2

        patience = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        with self._in_words():
            async with httpx2.AsyncClient(timeout=patience, **self._manners()) as client:
                while True:
                    async with client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
                        if response.status_code == 200:
                            return await self._report(httpx2.EventSource(response), report)
                        text = (await response.aread()).decode(errors="replace")
                    unwanted = {name for name in OPTIONAL if name in body and name in text}
                    if response.status_code not in (400, 422) or not unwanted:
                        raise self._refusal(response.status_code, text, body["model"])
                    body = {name: value for name, value in body.items() if name not in unwanted}

    async def _report(self, events: httpx2.EventSource, report: Callable[[Chunk], None]) -> None:
        ended = False
        async for event in events:
            if event.data == "[DONE]":
                return
            if not event.data:
                continue
            try:
                chunk = Chunk.model_validate_json(event.data)
            except pydantic.ValidationError:
                said = self._quote(event.data)
                raise ModelUnavailable(f"{self._name} sent what is no chat completion: {said}. See its log.") from None
            if chunk.error:
                code = chunk.error.get("code") if isinstance(chunk.error, dict) else None
                raise self._refusal(code if isinstance(code, int) else 500, event.data, "")
            ended = ended or any(choice.finish_reason for choice in chunk.choices or ())
            report(chunk)
        if not ended:
            raise ModelUnavailable(f"{self._name} broke off. See its log, and send the message again.")

    @property
    def _name(self) -> str:
        return f"The language model's server at {self.url}"

    def _manners(self) -> dict[str, Any]:
        # neither proxies nor logins of the environment (~/.netrc): only the configured machine is asked
        return {"trust_env": False, "headers": {"Authorization": f"Bearer {self.key}"} if self.key else {}}

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Turn the errors of the connection into sentences."""
        import httpx2

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.InvalidURL, UnicodeError) as error:
            # a UnicodeError is the name of a machine that cannot be one
            why = str(error) or f"no answer in {CONNECT_SECONDS:.0f} seconds"
            raise ModelUnavailable(
                f"{self._name} cannot be reached ({why}). Start it, or correct ASSISTANT_REMOTE_URL."
            ) from error
        except httpx2.TimeoutException as error:
            raise ModelUnavailable(
                f"{self._name} fell silent. It may be busy or hang; see its log, and send the message again."
            ) from error
        except httpx2.SSEError as error:
            raise ModelUnavailable(
                f"{self._name} does not answer in a stream ({str(error).rstrip('.')}). "
                "Check ASSISTANT_REMOTE_URL, which usually ends in /v1."
            ) from error
        except httpx2.HTTPError as error:
            raise ModelUnavailable(
                f"{self._name} broke off ({error}). See its log, and send the message again."
            ) from error

    def _refusal(self, status: int, text: str, model: str) -> AssistantError:
        """Say what the server refused and what to do."""
        says = self._quote(text)
        if status in (401, 403):
            return ModelUnavailable(
                f"{self._name} refuses the key ({says}). Set ASSISTANT_REMOTE_KEY to one that it accepts."
            )
        if status == 404 or "model_not_found" in text:
            return ModelUnavailable(self._not_found(says, model))
        if status == 413 or TOO_LONG.search(text):
            return TooLong(
                f"This message is longer than the model reads ({says}). Shorten it, or ask for shorter answers with "
                "ASSISTANT_MAX_NEW_TOKENS."
            )
        if status == 429:
            return ModelUnavailable(f"{self._name} has too much to do ({says}). Wait a little and send it again.")
        does = "failed" if status >= 500 else "refused the request"
        return ModelUnavailable(
            f"{self._name} {does} ({status}: {says}). Send the message again; if that does not help, see its log."
        )

    def _not_found(self, says: str, model: str) -> str:
        if model:
            with contextlib.suppress(AssistantError):
                return (
                    f"{self._name} has no model {model!r}. Set ASSISTANT_REMOTE_MODEL to one that it has: "
                    f"{', '.join(self.models())}."
                )
        return f"{self._name} has nothing there ({says}). Correct ASSISTANT_REMOTE_URL, which usually ends in /v1."

    def _quote(self, text: str) -> str:
        """Return the server's own words, in one short line and without the key, which some servers repeat."""
        with contextlib.suppress(ValueError):
            said = json.loads(text)
            for name in ("error", "message", "detail"):
                said = said.get(name, said) if isinstance(said, dict) else said
            text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        line = " ".join(text.split())
        shown = (line.replace(self.key, "***") if self.key else line)[:SHOWN_CHARACTERS]
        return shown.rstrip(".") or "it does not say why"


async def _until_stopped(work: Coroutine[Any, Any, None], stop: threading.Event) -> None:
    """Do `work`, or cancel it when `stop` is set, which closes its connection."""
    task = asyncio.ensure_future(work)
    while not task.done() and not stop.is_set():
        await asyncio.wait([task], timeout=POLL_SECONDS)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    raise Cancelled("Stopped.")
