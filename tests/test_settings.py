"""Settings come from arguments, the environment or a file, in this order; a wrong one is named in a sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pydantic
import pytest

from assistant.errors import BadInput
from assistant.settings import Settings, read_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start in an empty folder and with none of our variables set."""
    for name in [name for name in os.environ if name.upper().startswith("ASSISTANT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_set_the_defaults_hold() -> None:
    settings = read_settings()
    assert (settings.profile, settings.memory_gb, settings.max_rounds, settings.seed) == ("auto", None, 5, 0)
    assert settings.data.name == "maru" and settings.data.is_absolute()


def test_the_environment_sets_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_DATA", "/srv/maru")
    monkeypatch.setenv("ASSISTANT_PROFILE", "cpu")
    monkeypatch.setenv("ASSISTANT_MEMORY_GB", "7.5")
    settings = read_settings()
    assert (settings.data, settings.profile, settings.memory_gb) == (Path("/srv/maru"), "cpu", 7.5)


def test_a_file_beside_the_program_sets_any_setting(folder: Path) -> None:
    (folder / "assistant.toml").write_text('profile = "gpu"\nmax_rounds = 3\ntemperature = 0.7\n')
    settings = read_settings()
    assert (settings.profile, settings.max_rounds, settings.temperature) == ("gpu", 3, 0.7)


def test_an_argument_wins_over_the_environment_which_wins_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "assistant.toml").write_text("seed = 1\nmax_rounds = 1\nmax_new_tokens = 1\n")
    monkeypatch.setenv("ASSISTANT_SEED", "2")
    monkeypatch.setenv("ASSISTANT_MAX_ROUNDS", "2")
    settings = Settings(seed=3)
    assert (settings.seed, settings.max_rounds, settings.max_new_tokens) == (3, 2, 1)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("profile", "tpu", "'auto', 'gpu', 'cpu' or 'embedded'"),
        ("memory_gb", "lots", "valid number"),
        ("memory_gb", "0", "greater than 0"),
        ("max_rounds", "21", "less than or equal to 20"),
        ("max_new_tokens", "1.5", "valid integer"),
        ("temperature", "-1", "greater than or equal to 0"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected_and_the_settings_there_are(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(f"ASSISTANT_{name.upper()}", value)
    with pytest.raises(BadInput) as refusal:
        read_settings()
    sentence = str(refusal.value)
    assert sentence.startswith("A setting (ASSISTANT_… or assistant.toml) is wrong: " + name + ": ")
    assert expected in sentence and f"got {value!r}" in sentence
    assert all(setting in sentence.partition("The settings are: ")[2] for setting in Settings.model_fields)


def test_a_setting_nobody_knows_is_refused_rather_than_ignored(folder: Path) -> None:
    (folder / "assistant.toml").write_text('colour = "red"\n')
    with pytest.raises(BadInput, match=r"wrong: colour: .+ The settings are: data, profile, memory_gb"):
        read_settings()


def test_every_wrong_setting_is_named_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "assistant.toml").write_text("seed = -1\n")
    monkeypatch.setenv("ASSISTANT_MAX_ROUNDS", "0")
    with pytest.raises(BadInput, match=r"(max_rounds: .+; seed: |seed: .+; max_rounds: )"):
        read_settings()


def test_settings_cannot_change_while_the_program_runs() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        read_settings().seed = 1


def test_every_setting_says_what_it_is_for() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_a_misspelt_variable_is_refused_rather_than_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_TEMPERTURE", "1")
    with pytest.raises(BadInput, match=r"There is no setting ASSISTANT_TEMPERTURE. The settings are: data, profile"):
        read_settings()


def test_a_file_that_is_no_toml_is_a_sentence(folder: Path) -> None:
    (folder / "assistant.toml").write_text("temperature 1")
    with pytest.raises(BadInput, match=r"assistant\.toml is not valid TOML"):
        read_settings()
