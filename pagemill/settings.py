"""The project's settings: `pagemill.toml` and the environment, each value with where it came from."""

import difflib
import functools
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pagemill.errors import UserError
from pagemill.presets import PRESETS

FILE = "pagemill.toml"
FILE_VARIABLE = "PAGEMILL_CONFIG"
PREFIX = "PAGEMILL_"
MASK = "********"
LIKENESS = 0.85  # of a variable's name to a setting's, from which on it is told as misspelt

log = logging.getLogger("pagemill")


class Section(BaseModel):
    """A table of `pagemill.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VertexSettings(Section):
    """Where Vertex AI Pipelines runs."""

    project: str = Field("", description="Google Cloud project, by id")
    region: str = Field("us-central1", description="of the runs, the images and the bucket")
    service_account: str = Field("", description="e-mail of the account that tasks run as; empty for Vertex AI's own")
    network: str = Field("", description="VPC network, projects/<number>/global/networks/<name>; empty for none")
    endpoint: str = Field("", description="URL of the API, for tests; empty for the region's")


class KfpSettings(Section):
    """Where Kubeflow Pipelines runs."""

    host: str = Field("", description="URL of Kubeflow Pipelines")
    namespace: str = Field("kubeflow", description="of the runs, where there are several")
    experiment: str = Field("pagemill", description="that runs are filed under; made when it is not there")
    service_account: str = Field("", description="Kubernetes service account of the tasks")
    token: SecretStr = Field(SecretStr(""), description="bearer token; empty to sign in as the Google account")

    @property
    def url(self) -> str:
        """The host with a scheme, which is https where none is given, and without a slash at its end."""
        host = self.host.rstrip("/")
        return host if not host or "://" in host else f"https://{host}"

    @property
    def bearer(self) -> str:
        """The token itself; files that hold one often end with a line break."""
        return self.token.get_secret_value().strip()


class ImageSettings(Section):
    """Which container images run."""

    registry: str = Field("ghcr.io/pagemill", description="that images are taken from")
    pipeline: str = Field("", description="digest, sha256:..., of the image in place of the version's tag")
    nougat: str = Field("", description="digest, sha256:..., of the image in place of the version's tag")


class ModelSettings(Section):
    """A model of deck review."""

    url: str = Field("", description="of its server's OpenAI routes; empty for an Ollama in the container itself")
    model: str = Field("", description="its name on that server")
    key: str = Field("", description="name of the secret that the server wants; empty for none")


class VisionModelSettings(ModelSettings):
    """The model that looks at slides."""

    model: str = Field("llava:13b", description="its name on that server")


class TextModelSettings(ModelSettings):
    """The model that reads what was seen."""

    model: str = Field("gemma3:27b", description="its name on that server")


class DecksSettings(Section):
    """Where decks are reviewed."""

    store: str = Field("decks", description="folder or URI of the store that keeps decks and results")
    database: SecretStr = Field(
        SecretStr(""), description="postgresql://... of the queue; empty for SQLite in the store's folder"
    )
    token: str = Field("env:DECK_REVIEW_TOKEN", description="name of the secret that backend and containers share")
    backend: str = Field("", description="URLs at which containers register, with commas")
    retry_delay_seconds: float = Field(120.0, ge=0, description="before a failed task's second attempt")
    call_seconds: float = Field(180.0, gt=0, description="for a model's answer to begin, until it is asked again")
    vision: VisionModelSettings = VisionModelSettings()
    text: TextModelSettings = TextModelSettings()

    def model_for(self, capability: str) -> ModelSettings:
        """Return the model for "vision" or "text"."""
        return {"vision": self.vision, "text": self.text}[capability]


class Settings(BaseSettings):
    """All settings; a variable beats the file: `vertex.project` is PAGEMILL_VERTEX__PROJECT. See `load_settings`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    to: Literal["vertex", "kfp"] = Field(
        "vertex", description="where `pagemill submit` sends pipelines: vertex or kfp; follows from a preset"
    )
    preset: str = Field("", description="machines, `pagemill presets` lists them; empty for the default of `to`")
    bucket: str = Field("", description="gs:// URI under which store and artifacts lie")
    hf_token: str = Field("env:HF_TOKEN", description="name of the secret: env:NAME or secret:projects/P/secrets/S")
    prices: str = Field("", description="price table (YAML) by path or URI; empty for the shipped one")
    labels: dict[str, str] = Field({}, description="on every run, for the bill")
    vertex: VertexSettings = VertexSettings()
    kfp: KfpSettings = KfpSettings()
    images: ImageSettings = ImageSettings()
    decks: DecksSettings = DecksSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options of a command come first, then variables, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file_in_use())


class Setting(NamedTuple):
    """A setting as `pagemill config show` tells of it."""

    name: str
    value: str  # secrets masked
    origin: str  # option, a variable's name, a file's name, or default
    description: str


def file_in_use() -> Path:
    """Return the settings file: named by PAGEMILL_CONFIG, else `pagemill.toml` in the working folder."""
    return Path(os.environ.get(FILE_VARIABLE) or FILE)


def load_settings(options: Mapping[str, Any] | None = None) -> Settings:
    """Read the settings; variables whose names are nearly a setting's are warned of.

    Args:
        options: Values by dotted name (`vertex.project`) that beat variables and file; None and "" do not count.

    Raises:
        UserError: The file is missing although PAGEMILL_CONFIG names it, is no TOML, or a value is not a setting's.
    """
    if FILE_VARIABLE in os.environ and not file_in_use().is_file():
        raise UserError(str(file_in_use()), "is not there", f"correct {FILE_VARIABLE}, or leave it out")
    try:
        settings = Settings(**_nested(_given(options)))
    except ValidationError as error:
        raise _mistake(error, _given(options)) from None
    except SettingsError as error:
        raise _unreadable_variable(error) from None
    except (ValueError, OSError) as error:  # no TOML
        raise UserError(
            str(file_in_use()), f"cannot be read ({error})", "correct it; docs/cloud.md shows one"
        ) from None
    _warn_of_misspelt_variables()
    return _with_the_presets_backend(settings)


def describe(settings: Settings, options: Mapping[str, Any] | None = None) -> list[Setting]:
    """Return every setting with its value and where that came from."""
    in_file = dict(_leaves(TomlConfigSettingsSource(Settings, file_in_use())()))
    variables = {name.upper() for name in os.environ}

    def origin(name: str) -> str:
        variable = PREFIX + name.replace(".", "__").upper()
        if name in _given(options):
            return "option"
        if variable in variables:
            return variable
        if name == "to" and settings.to != Settings.model_fields["to"].default and name not in in_file:
            return "preset"
        return str(file_in_use()) if any(key == name or key.startswith(f"{name}.") for key in in_file) else "default"

    return [Setting(name, _shown(value), origin(name), text) for name, value, text in _fields(settings)]


def _with_the_presets_backend(settings: Settings) -> Settings:
    """Return settings that send pipelines to where the preset is, unless they say themselves where to."""
    preset = PRESETS.get(settings.preset)
    if preset is None or preset.backend == "local" or "to" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"to": preset.backend})


def _warn_of_misspelt_variables() -> None:
    variables = {PREFIX + name.replace(".", "__").upper() for name, _, _ in _fields(Settings.model_construct())}
    without_section = {PREFIX + variable.rpartition("__")[2]: variable for variable in variables if "__" in variable}
    for name in {each.upper() for each in os.environ} - variables:
        if not name.startswith(PREFIX) or name.startswith(f"{PREFIX}LABELS__"):
            continue
        alike = difflib.get_close_matches(name, variables, 1, LIKENESS)
        if near := without_section.get(name) or next(iter(alike), ""):
            _warn_once(f"{name} is not a setting; did you mean {near}?")


@functools.cache
def _warn_once(line: str) -> None:
    log.warning(line)


def _unreadable_variable(error: SettingsError) -> UserError:
    """Say which variable is no JSON where it has to be."""
    found = re.search(r'field "(\w+)" from source "Env', str(error))
    variable = PREFIX + (found[1].upper() if found else "")
    return UserError(variable, "is no JSON", """write a table, as in '{"team": "books"}'""")


def _given(options: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (options or {}).items() if value not in (None, "")}


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *sections, key = name.split(".")
        functools.reduce(lambda table, section: table.setdefault(section, {}), sections, nested)[key] = value
    return nested


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _fields(settings: BaseModel, above: str = "") -> Iterator[tuple[str, Any, str]]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value, field.description or ""


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={each}" for key, each in value.items())
    return str(value)


def _mistake(error: ValidationError, options: Mapping[str, Any]) -> UserError:
    """Say in one line which setting is wrong; what stands there is not quoted, for it may be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    where = "option" if name in options else f"{file_in_use()} or {PREFIX}{name.replace('.', '__').upper()}"
    if first["type"] == "extra_forbidden":
        known = [each for each, _, _ in _fields(Settings.model_construct())]
        near = difflib.get_close_matches(name, known, 1)
        mend = f"did you mean {near[0]}?" if near else "`pagemill config show` lists the settings"
        return UserError(f"{where}: {name}", "is not a setting", mend)
    if first["type"] == "literal_error":
        expected = first["ctx"]["expected"].replace("'", "")
        return UserError(f"{where}: {name}", "is not valid", f"give {expected}")
    return UserError(f"{where}: {name}", f"is not valid ({first['msg']})", "`pagemill config show` says what it is for")
