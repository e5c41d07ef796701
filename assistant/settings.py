"""What a person may set: environment variables `ASSISTANT_*`, else `assistant.toml` here. Knows no other room."""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
import pydantic
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from assistant.errors import BadInput

MEGABYTE = 1_000_000
GIGABYTE = 1_000_000_000


class Settings(BaseSettings):
    """All settings with their defaults; `Settings()` reads the environment and `assistant.toml`."""

    model_config = SettingsConfigDict(env_prefix="ASSISTANT_", toml_file="assistant.toml", frozen=True, extra="forbid")

    data: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("maru"),
        description="Folder for conversations, files, the library and fetched weights.",
    )
    profile: Literal["auto", "gpu", "cpu", "embedded"] = Field(
        default="auto",
        description="Which column of the model catalog to use; auto takes the best this machine can hold.",
    )
    memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="Memory all models share, in GB; by default four fifths of what there is.",
    )
    idle_minutes: float = Field(
        default=30, ge=0, description="After how long an unused model leaves memory; 0 is never."
    )
    compile: bool = Field(
        default=True,
        description="Compile the language model for this CPU once, beside the first answers; later ones come faster.",
    )
    max_rounds: int = Field(
        default=5, ge=1, le=20, description="How often the model may answer or call tools in a turn."
    )
    max_new_tokens: int = Field(default=1024, ge=1, description="The longest answer, in tokens.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0 always takes the likeliest token.")
    seed: int = Field(default=0, ge=0, description="Seed of sampling and of tools that draw at random.")
    remote_url: str = Field(
        default="", description="Where a server with a language model is, such as `http://127.0.0.1:8000/v1`."
    )
    remote_model: str = Field(default="", description="Which of that server's models to use; not needed if it has one.")
    remote_key: SecretStr = Field(default=SecretStr(""), description="The key for that server, if it wants one.")
    max_upload_mb: float = Field(default=100, gt=0, description="The largest file accepted, in MB.")
    max_pixels_millions: float = Field(default=100, gt=0, description="The largest picture accepted, in megapixels.")

    @field_validator("remote_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc:
            raise ValueError("must be without user and password; set remote_key instead")
        return url.rstrip("/")

    @field_validator("remote_key")
    @classmethod
    def _check_key(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().strip()
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("must be of plain letters, digits and signs")
        return SecretStr(text)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, which wins over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def read_settings() -> Settings:
    """Read the settings, or raise `BadInput` naming the setting that is wrong."""
    known = ", ".join(Settings.model_fields)
    names = {f"ASSISTANT_{name.upper()}" for name in Settings.model_fields}
    if unknown := [name for name in os.environ if name.upper().startswith("ASSISTANT_") and name.upper() not in names]:
        raise BadInput(f"There is no setting {', '.join(sorted(unknown))}. The settings are: {known}.")
    try:
        return Settings()
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"assistant.toml is not valid TOML: {error}. Correct the line and try again.") from None
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_complaint(e)}" for e in error.errors())
        raise BadInput(
            f"A setting (ASSISTANT_… or assistant.toml) is wrong: {problems}. The settings are: {known}."
        ) from None


def _complaint(error: Any) -> str:
    """Say what is wrong with a value; what may hold a key (`api_key`, `http://me:key@host`) is not shown."""
    may_show = error["loc"][0] in Settings.model_fields and "remote" not in str(error["loc"][0])
    said = error["msg"].removeprefix("Value error, ").lower()
    return f"{said}, got {error['input']!r}" if may_show else said
