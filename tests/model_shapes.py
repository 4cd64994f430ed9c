"""What the local model server looks at in a question, as OpenAI's API does, and the smallest answer of a schema."""

import base64
import binascii
import dataclasses
import functools
import io
import json
import re
from typing import Any

import fastjsonschema
from PIL import Image

FIELDS = {"model", "messages", "response_format", "temperature", "seed", "max_tokens", "stream", "top_p", "stop"}
ROLES = ("system", "user", "assistant")
SCHEMA_NAME = re.compile(r"[\w-]{1,64}", re.ASCII)
DATA_URL = re.compile(r"data:image/(?P<kind>png|jpeg);base64,(?P<data>.+)", re.DOTALL)
EXAMPLES = {"date": "2024-01-31", "date-time": "2024-01-31T00:00:00Z", "uri": "http://example.com", "email": "a@b.c"}


class Refused(Exception):
    """What the server answers in place of what was asked for."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(status, message, kind)
        self.status = status
        self.message = message
        self.kind = kind


@dataclasses.dataclass(frozen=True)
class Asked:
    """A question as it came over the wire."""

    model: str
    system: str
    text: str  # of the first question
    images: tuple[bytes, ...]
    schema_name: str  # "" where the form is not asked for by schema
    schema: dict[str, Any] | None
    said_before: tuple[tuple[str, str], ...]  # role and text of what follows the first question
    max_tokens: int
    body: dict[str, Any]

    @property
    def is_repeated(self) -> bool:
        """Whether the model is told that its answer was wrong."""
        return bool(self.said_before)


def asked_in(body: Any) -> Asked:
    """Read a question, or refuse it as OpenAI's API would."""
    _expect(isinstance(body, dict), "the body is no object")
    _expect(not (unknown := set(body) - FIELDS), f"Unrecognized request argument supplied: {', '.join(unknown)}")
    _expect(isinstance(body.get("model"), str), "you must provide a model parameter")
    _expect(not body.get("stream"), "streams are not spoken here")
    _expect(0 <= body.get("temperature", 1) <= 2, "temperature is not between 0 and 2")
    _expect(isinstance(body.get("seed", 0), int), "seed is no integer")
    limit = body.get("max_tokens", 4096)
    _expect(isinstance(limit, int) and limit > 0, "max_tokens is no positive integer")
    messages = body.get("messages")
    _expect(isinstance(messages, list) and bool(messages), "messages is empty")
    read = [_message(each) for each in messages]
    first = next((index for index, (role, _, _) in enumerate(read) if role == "user"), None)
    _expect(first is not None, "nobody asks")
    name, schema = _form(body.get("response_format"))
    return Asked(
        model=body["model"],
        system="\n".join(text for role, text, _ in read if role == "system"),
        text=read[first][1],
        images=tuple(image for _, _, images in read for image in images),
        schema_name=name,
        schema=schema,
        said_before=tuple((role, text) for role, text, _ in read[first + 1 :]),
        max_tokens=limit,
        body=body,
    )


def smallest(schema: dict[str, Any]) -> Any:
    """Return a small instance of a schema without references; null where that is allowed."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        options = sorted(schema["anyOf"], key=lambda option: option.get("type") != "null")
        return smallest(options[0])
    kind = schema.get("type", "object")
    if kind == "object":
        return {name: smallest(each) for name, each in schema.get("properties", {}).items()}
    if kind == "array":
        return [smallest(schema["items"]) for _ in range(schema.get("minItems", 0))]
    if kind == "string":
        return EXAMPLES.get(schema.get("format", ""), "x" * schema.get("minLength", 0))
    if kind in ("integer", "number"):
        above = schema.get("exclusiveMinimum")
        return schema.get("minimum", 0 if above is None else above + 1)
    return {"boolean": False, "null": None}[kind]


def fault_of(value: Any, schema: dict[str, Any]) -> str:
    """Return what keeps a value from following a schema, "" if nothing does; refuse what is no JSON schema."""
    try:
        _compiled(json.dumps(schema, sort_keys=True))(value)
    except fastjsonschema.JsonSchemaDefinitionException as error:
        raise Refused(400, f"Invalid schema for response_format: {error}") from None
    except fastjsonschema.JsonSchemaValueException as error:
        return str(error.message)
    return ""


@functools.lru_cache
def _compiled(schema: str) -> Any:
    # Not by jsonschema, whose import takes two seconds where the packages for all its formats are installed.
    return fastjsonschema.compile(json.loads(schema), use_default=False)


def tokens_in(text: str) -> int:
    """Count tokens as this server has them: four letters each."""
    return -(-len(text) // 4)


def _message(message: Any) -> tuple[str, str, tuple[bytes, ...]]:
    """Return a message's role, text and pictures."""
    _expect(isinstance(message, dict) and set(message) == {"role", "content"}, "a message is role and content")
    role, content = message["role"], message["content"]
    _expect(role in ROLES, f"'{role}' is not one of {ROLES}")
    if isinstance(content, str):
        return role, content, ()
    _expect(isinstance(content, list) and bool(content), "content is neither text nor parts")
    _expect(role == "user" or all(part.get("type") == "text" for part in content), "only users show pictures")
    texts = [part["text"] for part in content if _is_part(part, "text", str)]
    images = [_picture(part["image_url"]) for part in content if _is_part(part, "image_url", dict)]
    _expect(len(texts) + len(images) == len(content), "a part is neither text nor image_url")
    return role, "\n".join(texts), tuple(images)


def _is_part(part: Any, kind: str, holds: type) -> bool:
    return isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(kind), holds)


def _picture(image_url: dict[str, Any]) -> bytes:
    found = DATA_URL.fullmatch(str(image_url.get("url")))
    _expect(found is not None, "an image is no data URL of a PNG or JPEG")
    try:
        data = base64.b64decode(found["data"], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            kind = (image.format or "").lower()
    except (binascii.Error, OSError, SyntaxError) as error:
        raise Refused(400, f"an image cannot be read: {error}") from None
    _expect(kind == found["kind"], f"an image is {kind} and says {found['kind']}")
    return data


def _form(response_format: Any) -> tuple[str, dict[str, Any] | None]:
    """Return the name and schema that an answer has to follow."""
    if response_format is None or response_format == {"type": "json_object"}:
        return "", None
    _expect(isinstance(response_format, dict) and response_format.get("type") == "json_schema", "response_format")
    form = response_format.get("json_schema", {})
    name, schema = str(form.get("name")), form.get("schema")
    _expect(SCHEMA_NAME.fullmatch(name) is not None, "the schema's name")
    _expect(form.get("strict") is True and isinstance(schema, dict), "the schema is not strict")
    check_strict(schema, name)
    fault_of({}, schema)
    return name, schema


def check_strict(schema: dict[str, Any], place: str) -> None:
    """Refuse what OpenAI refuses in strict schemas, and what llama.cpp makes no grammar of."""
    wrong = f"Invalid schema for response_format at {place}: "
    for keyword in {"default", "oneOf", "allOf", "prefixItems", "patternProperties"} & set(schema):
        raise Refused(400, f"{wrong}'{keyword}' is not permitted")
    _expect("$ref" not in schema or len(schema) == 1, f"{wrong}$ref cannot have keywords beside it")
    if schema.get("type") == "object":
        properties = schema.get("properties")
        _expect(properties is not None, f"{wrong}an object without properties")
        _expect(schema.get("additionalProperties") is False, f"{wrong}'additionalProperties' has to be false")
        _expect(set(schema.get("required", ())) == set(properties), f"{wrong}'required' has to name every property")
    for name, each in [*schema.get("properties", {}).items(), *schema.get("$defs", {}).items()]:
        check_strict(each, f"{place}.{name}")
    for each in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        check_strict(each, place)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Refused(400, otherwise)
