"""A Hugging Face hub on this machine, just large enough to download from: trees, files, refusals, cut lines."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".gguf", ".onnx", ".bin")  # the hub keeps these elsewhere and answers with a redirect
TREE = re.compile(r"/api/models/(?P<name>[^/]+/[^/]+)/tree/(?P<commit>[^/]+)")
FILE = re.compile(r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<commit>[^/]+)/(?P<path>.+)")
STORED = re.compile(r"/stored/(?P<name>[^/]+/[^/]+)/(?P<path>.+)")


@dataclass
class Repository:
    """A folder served at one commit; `token` opens it if it is gated, `cuts` says how often a file breaks off."""

    folder: Path
    commit: str
    token: str | None = None
    cuts: dict[str, int] = field(default_factory=dict)


class Hub(ThreadingHTTPServer):
    """Serves `repositories` by their ids and remembers every request as "METHOD path"."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.hangs_up = False  # on everybody, half a second after they asked
        self.url = f"http://127.0.0.1:{self.server_port}"

    def add(
        self, name: str, folder: Path, commit: str, files: dict[str, bytes], token: str | None = None
    ) -> Repository:
        """Write `files` to `folder` and serve them as the repository `name`."""
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        self.repositories[name] = Repository(folder, commit, token)
        return self.repositories[name]


@contextmanager
def serve() -> Iterator[Hub]:
    """Run a hub until the block ends."""
    with Hub() as hub:
        thread = Thread(target=hub.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class Visit(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._visit()

    def do_HEAD(self) -> None:
        self._visit()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the hub remembers its requests."""

    def _visit(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(f"{self.command} {path}")
        if self.server.hangs_up:
            time.sleep(0.5)
            self.close_connection = True
            return None
        form = next((match for form in (TREE, STORED, FILE) if (match := form.fullmatch(path))), None)
        repository = self.server.repositories.get(form["name"]) if form else None
        if form is None or repository is None:
            return self._refuse(404, "RepoNotFound")
        if form.groupdict().get("commit", repository.commit) != repository.commit:
            return self._refuse(404, "RevisionNotFound")
        if form.re is TREE:
            return self._send(200, json.dumps([*map(_row, *_files(repository))]).encode(), {})
        if repository.token not in (None, self._token()):
            return self._refuse(403 if self._token() else 401, "GatedRepo")
        if not (repository.folder / form["path"]).is_file():
            return self._refuse(404, "EntryNotFound")
        return self._send_file(repository, form)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _send_file(self, repository: Repository, form: re.Match[str]) -> None:
        content = (repository.folder / form["path"]).read_bytes()
        about = {"X-Repo-Commit": repository.commit, "ETag": f'"{_digest(form["path"], content)}"'}
        if form.re is FILE and form["path"].endswith(LARGE):
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": about["ETag"]}
            place = f"{self.server.url}/stored/{form['name']}/{form['path']}"
            return self._send(302, b"", about | linked | {"Location": place})
        begin, stop = self._begin(), None
        if begin:
            about["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if self.command == "GET" and repository.cuts.get(form["path"]):
            repository.cuts[form["path"]] -= 1
            stop = max(0, len(content) // 2 - begin)
        return self._send(206 if begin else 200, content[begin:], about, stop)

    def _begin(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked else 0

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code})

    def _send(self, status: int, content: bytes, headers: dict[str, str], stop: int | None = None) -> None:
        """Announce all of `content` and send it up to `stop`; what stops early also closes the line."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[:stop])
        self.close_connection = stop is not None


def _files(repository: Repository) -> tuple[list[str], list[bytes]]:
    files = sorted(file for file in repository.folder.rglob("*") if file.is_file())
    return [file.relative_to(repository.folder).as_posix() for file in files], [file.read_bytes() for file in files]


def _row(path: str, content: bytes) -> dict[str, object]:
    digest = _digest(path, content)
    row: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": digest[:40]}
    return row | {"lfs": {"oid": digest, "size": len(content), "pointerSize": 134}} if path.endswith(LARGE) else row


def _digest(path: str, content: bytes) -> str:
    return (hashlib.sha256 if path.endswith(LARGE) else hashlib.sha1)(content).hexdigest()
