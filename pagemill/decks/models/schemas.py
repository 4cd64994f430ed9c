"""JSON schemas that every model server understands: strict as OpenAI wants them, and without references."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

UNKNOWN_TO_SERVERS = ("oneOf", "prefixItems", "patternProperties")


def strict_schema(form: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of an answer: each property is required, no other is allowed, and there are no defaults.

    A field that may be absent has to be nullable instead, as OpenAI wants it.

    Raises:
        TypeError: The form has a part that not every server can hold a model to: a free dictionary,
            a discriminated union, a tuple of fixed places, or itself.
    """
    schema = form.model_json_schema(schema_generator=_Strict)
    inlined: dict[str, Any] = _inlined(schema, schema.pop("$defs", {}), ())
    _check(inlined, form.__name__)
    return inlined


class _Strict(GenerateJsonSchema):
    """Pydantic's own generator, but that every field is required and closed, without title and default."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: Any) -> dict[str, Any]:
        return {**super().model_schema(schema), "additionalProperties": False}


def _inlined(node: Any, definitions: dict[str, Any], within: tuple[str, ...]) -> Any:
    """Put definitions where they are referred to: OpenAI takes no reference that has a description beside it."""
    if isinstance(node, list):
        return [_inlined(each, definitions, within) for each in node]
    if not isinstance(node, dict):
        return node
    if not isinstance(reference := node.get("$ref"), str):
        return {key: _inlined(each, definitions, within) for key, each in node.items()}
    name = reference.removeprefix("#/$defs/")
    if name in within:
        raise TypeError(f"{name} contains itself, which not every model server can hold an answer to")
    beside = {key: each for key, each in node.items() if key != "$ref"}
    return _inlined({**definitions[name], **beside}, definitions, (*within, name))


def _check(node: Any, place: str) -> None:
    """Refuse what only some servers know; the names of properties are no keywords."""
    if unknown := [keyword for keyword in UNKNOWN_TO_SERVERS if keyword in node]:
        raise TypeError(f"{place}: not every model server knows {unknown[0]}")
    if node.get("type") == "object" and "properties" not in node:
        raise TypeError(f"{place}: a dictionary without fixed keys cannot be asked for strictly")
    for name, each in node.get("properties", {}).items():
        _check(each, f"{place}.{name}")
    for each in [*node.get("anyOf", []), *([node["items"]] if isinstance(node.get("items"), dict) else [])]:
        _check(each, place)
