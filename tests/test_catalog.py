"""The best weights this machine can hold and reach are chosen, and a sentence says why not better ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.catalog import Catalog, Machine
from assistant.errors import ModelUnavailable, PluginError
from assistant.settings import Settings

GPU = Machine(has_gpu=True, bytes=10_000_000_000)
CPU = Machine(has_gpu=False, bytes=10_000_000_000)
ROW = """
[{role}.{profile}]
name = "{name}"
source = "{source}"
dtype = "float32"
bytes = {bytes}
licence = "Apache-2.0"
"""


@pytest.fixture
def make_catalog(tmp_path: Path) -> Callable[..., Catalog]:
    """Make a catalog of chat models large, middle and small; `missing` are not on this machine."""

    def make(machine: Machine, profile: str = "auto", missing: tuple[str, ...] = ()) -> Catalog:
        rows = ""
        for column, name, gigabytes in (("gpu", "large", 6), ("cpu", "middle", 3), ("embedded", "small", 1)):
            folder = tmp_path / name
            if name not in missing:
                folder.mkdir()
                (folder / "model.safetensors").write_bytes(b"")
            size = gigabytes * 1_000_000_000
            rows += ROW.format(role="chat", profile=column, name=name, source=f"local:{folder}", bytes=size)
        return read(tmp_path, rows, machine, profile)

    return make


def read(folder: Path, rows: str, machine: Machine = CPU, profile: str = "auto") -> Catalog:
    (folder / "catalog.toml").write_text(rows)
    return Catalog(Settings(data=folder, profile=profile), machine, folder / "catalog.toml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("machine", "name", "sentence"),
    [
        (GPU, "large", "large (gpu)."),
        (CPU, "middle", "middle (cpu). Not better, because large needs a GPU and there is none."),
        (
            Machine(has_gpu=True, bytes=5_500_000_000),
            "middle",
            "middle (cpu). Not better, because large needs 6.0 GB and models may take 5.5 GB here.",
        ),
        (
            Machine(has_gpu=False, bytes=1_000_000_000),
            "small",
            "small (embedded). Not better, because large needs a GPU and there is none; "
            "middle needs 3.0 GB and models may take 1.0 GB here.",
        ),
    ],
)
def test_auto_takes_the_best_this_machine_can_hold_and_says_why_not_better(
    make_catalog: Callable[..., Catalog], machine: Machine, name: str, sentence: str
) -> None:
    choice = make_catalog(machine).choose("chat")
    assert choice.entry.name == name
    assert choice.sentence() == sentence


def test_auto_passes_over_what_cannot_be_reached_and_names_it(
    make_catalog: Callable[..., Catalog], tmp_path: Path
) -> None:
    choice = make_catalog(GPU, missing=("large", "middle")).choose("chat")
    assert choice.sentence() == (
        f"small (embedded). Not better, because there is no {str(tmp_path / 'large')!r}; "
        f"there is no {str(tmp_path / 'middle')!r}."
    )


def test_when_nothing_can_be_used_every_reason_is_listed(make_catalog: Callable[..., Catalog]) -> None:
    with pytest.raises(ModelUnavailable) as refusal:
        make_catalog(Machine(has_gpu=False, bytes=10), missing=("small",)).choose("chat")
    assert str(refusal.value) == (
        "No model for 'chat' can be used here: large needs a GPU and there is none; middle needs 3.0 GB and models "
        "may take 0.0 GB here; small needs 1.0 GB and models may take 0.0 GB here."
    )


@pytest.mark.parametrize(
    ("profile", "machine", "missing", "reason"),
    [
        ("gpu", CPU, (), r"large \(profile gpu\) cannot be used: large needs a GPU and there is none\."),
        ("cpu", Machine(has_gpu=False, bytes=1), (), r"middle \(profile cpu\) cannot be used: middle needs 3\.0 GB"),
        ("embedded", GPU, ("small",), r"small \(profile embedded\) cannot be used: there is no '.*small'\."),
    ],
)
def test_a_forced_profile_that_cannot_be_used_says_why_and_nothing_takes_its_place(
    make_catalog: Callable[..., Catalog], profile: str, machine: Machine, missing: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(ModelUnavailable, match=reason):
        make_catalog(machine, profile, missing).choose("chat")


@pytest.mark.parametrize(("profile", "name"), [("gpu", "large"), ("cpu", "middle"), ("embedded", "small")])
def test_a_forced_profile_is_taken_even_where_a_better_one_would_fit(
    make_catalog: Callable[..., Catalog], profile: str, name: str
) -> None:
    choice = make_catalog(GPU, profile).choose("chat")
    assert (choice.entry.name, choice.passed_over) == (name, ())


@pytest.mark.parametrize("profile", ["auto", "gpu", "cpu", "embedded"])
def test_a_role_with_a_single_entry_serves_every_profile(tmp_path: Path, profile: str) -> None:
    row = ROW.format(role="ocr", profile="embedded", name="reader", source=f"local:{tmp_path}", bytes=1)
    for machine in (CPU, GPU):
        assert read(tmp_path, row, machine, profile).choose("ocr").sentence() == "reader (embedded)."


def test_a_role_the_catalog_does_not_have_is_a_sentence(make_catalog: Callable[..., Catalog]) -> None:
    with pytest.raises(ModelUnavailable, match="No model for 'paint' can be used here: the catalog has no entry"):
        make_catalog(GPU).choose("paint")


def test_the_choice_is_made_once(make_catalog: Callable[..., Catalog], tmp_path: Path) -> None:
    catalog = make_catalog(GPU, missing=("large",))
    first = catalog.choose("chat")
    (tmp_path / "large").mkdir()
    assert catalog.choose("chat") is first


def test_a_refusal_is_not_remembered(make_catalog: Callable[..., Catalog], tmp_path: Path) -> None:
    catalog = make_catalog(GPU, "gpu", missing=("large",))
    with pytest.raises(ModelUnavailable):
        catalog.choose("chat")
    (tmp_path / "large").mkdir()
    assert catalog.choose("chat").entry.name == "large"


def test_fetch_returns_the_folder_of_the_chosen_weights(make_catalog: Callable[..., Catalog], tmp_path: Path) -> None:
    assert make_catalog(CPU).fetch("chat", lambda fraction, note: None) == tmp_path / "middle"


def test_an_obstacle_is_a_sentence_and_holds_for_a_while(make_catalog: Callable[..., Catalog], tmp_path: Path) -> None:
    catalog = make_catalog(GPU, "gpu", missing=("large",))
    assert "there is no" in str(catalog.obstacle("chat"))
    (tmp_path / "large").mkdir()
    assert "there is no" in str(catalog.obstacle("chat"))
    catalog._obstacles.clear()  # a minute later
    assert catalog.obstacle("chat") is None


def test_a_local_folder_of_pickles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    row = ROW.format(role="chat", profile="cpu", name="old", source=f"local:{tmp_path / 'pickled'}", bytes=1)
    with pytest.raises(ModelUnavailable, match=r"because they can run code; convert them to safetensors\."):
        read(tmp_path, row).fetch("chat", lambda fraction, note: None)


SOUND = ROW.format(role="chat", profile="cpu", name="middle", source="local:here", bytes=1)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(SOUND + 'colour = "red"\n', id="an unknown key"),
        pytest.param(SOUND + 'role = "chat"\n', id="a key the table's name says already"),
        pytest.param(SOUND.replace('licence = "Apache-2.0"', ""), id="no licence"),
        pytest.param(SOUND.replace('source = "local:here"', ""), id="no source"),
        pytest.param(SOUND.replace("chat.cpu", "chat.tpu"), id="an unknown profile"),
    ],
)
def test_a_wrong_row_is_named_with_what_a_row_may_have(tmp_path: Path, rows: str) -> None:
    with pytest.raises(PluginError) as refusal:
        read(tmp_path, rows).choose("chat")
    for part in (str(tmp_path / "catalog.toml"), "[chat.", "gpu, cpu, embedded", "licence", "quantize"):
        assert part in str(refusal.value)


def test_a_source_of_no_known_form_is_refused_before_anything_is_chosen(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'ftp:here' has none of the forms"):
        read(tmp_path, SOUND.replace("local:here", "ftp:here")).choose("chat")
