"""The messages of a question: its words and pictures, what was wrong with an answer, and its form in words."""

import base64
import json
from typing import Any

from pagemill.decks.asking import Question
from pagemill.decks.models.forms import NotOfForm, Said

MEDIA_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
SCHEMA_IN_WORDS = "Answer with one JSON object and nothing else. It has to follow this JSON schema:\n"


def messages_of(question: Question[Any]) -> list[dict[str, Any]]:
    """Return a question as messages, its pictures before its words.

    Raises:
        ValueError: A picture is neither PNG nor JPEG.
    """
    pictures = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in question.images]
    content = [*pictures, {"type": "text", "text": question.text}] if pictures else question.text
    return [{"role": "system", "content": question.system}, {"role": "user", "content": content}]


def asked_again(
    messages: list[dict[str, Any]], said: Said, fault: NotOfForm, schema: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the messages that ask once more, telling what was wrong and which form is wanted.

    Of an answer that was cut off only that is told: the rest would take the place that the new one needs.
    """
    if said.is_cut:
        return [*messages, {"role": "user", "content": fault.told}]
    shown = [{"role": "assistant", "content": said.text}] if said.text.strip() else []
    return [*messages, *shown, {"role": "user", "content": f"{fault.told}\n{_in_words(schema)}"}]


def in_words(messages: list[dict[str, Any]], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return messages whose system prompt says the answer's form, for servers that do not take a schema."""
    system, *others = messages
    return [{**system, "content": f"{system['content']}\n\n{_in_words(schema)}"}, *others]


def data_url(image: bytes) -> str:
    """Return a PNG or JPEG as a URL that holds it."""
    for beginning, media_type in MEDIA_TYPES.items():
        if image.startswith(beginning):
            return f"data:{media_type};base64,{base64.b64encode(image).decode()}"
    raise ValueError("a picture that is neither PNG nor JPEG")


def _in_words(schema: dict[str, Any]) -> str:
    return SCHEMA_IN_WORDS + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
