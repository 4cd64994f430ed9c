"""Templates: the sections and questions of a review, in a versioned YAML file."""

import errno
from importlib import resources
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from pagemill.decks.records import Record
from pagemill.errors import UserError
from pagemill.storage import Store, digest, filesystem_of

SHIPPED = "healthcare"
FOLDER = "templates"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class TemplateQuestion(Record):
    """A question of a section."""

    id: Name
    ask: Annotated[str, Field(min_length=1, max_length=500)]


class Section(Record):
    """Questions that are answered together."""

    id: Name
    title: Annotated[str, Field(min_length=1, max_length=100)]
    questions: Annotated[tuple[TemplateQuestion, ...], Field(min_length=1, max_length=12)]


class Template(Record):
    """What a review answers."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    title: str
    sections: Annotated[tuple[Section, ...], Field(min_length=1, max_length=30)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Template":
        for where, names in (
            ("sections", [section.id for section in self.sections]),
            *((section.id, [question.id for question in section.questions]) for section in self.sections),
        ):
            if twice := {name for name in names if names.count(name) > 1}:
                raise ValueError(f"{where}: {', '.join(sorted(twice))} comes twice")
            if taken := {name for name in names if hasattr(BaseModel, name)}:
                raise ValueError(f"{where}: {', '.join(sorted(taken))} means something else to pydantic")
        return self


def load_template(name_or_path: str = SHIPPED) -> Template:
    """Return a template that comes with the package, or one of a file by path or URI.

    Raises:
        UserError: There is no such template, or it is not one.
    """
    import yaml

    shipped = resources.files("pagemill.decks").joinpath(FOLDER, f"{name_or_path}.yaml")
    try:
        is_shipped = "/" not in name_or_path and shipped.is_file()
        values: Any = yaml.safe_load(shipped.read_text(encoding="utf-8") if is_shipped else _text_at(name_or_path))
        return Template.model_validate(values)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise UserError(f"template {name_or_path}", reason, f'give the path of a YAML file, or "{SHIPPED}"') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"template {name_or_path}", f"is not YAML: {error}", "see docs/decks.md") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(f"template {name_or_path}", f"{place}: {first['msg']}", "see docs/decks.md") from error


def keep_template(template: Template, store: Store) -> str:
    """Put a template into the store under the digest of its content; returns its URI, which `load_template` reads."""
    values = template.model_dump(mode="json")
    name = f"decks/templates/{digest(values)}.yaml"
    if not store.exists(name):
        store.write_json(name, values)  # JSON is YAML
    return store.uri_of(name)


def _text_at(path_or_uri: str) -> str:
    try:
        filesystem, path = filesystem_of(path_or_uri)
    except (ImportError, ValueError) as error:  # a protocol that is not known here
        raise OSError(errno.EINVAL, str(error)) from error
    with filesystem.open(path, "rb") as stream:
        return str(stream.read(), "utf-8")
