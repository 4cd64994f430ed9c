"""Prompts: files with a version, filled without the deck; what a deck says is fenced and declared to be data."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from pagemill.storage import digest

FOLDER = "prompts"
MATERIAL = "material"  # what goes around the fence in every question
_FRONT_MATTER = re.compile(r"\A---\n(?P<facts>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)
FENCE_CHARACTERS = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt of a file: its front matter says its version and how long an answer may be."""

    name: str
    version: int
    max_tokens: int
    body: str

    @property
    def digest(self) -> str:
        """Digest of all that it says."""
        return digest([self.name, self.version, self.max_tokens, self.body])

    def fill(self, **values: Any) -> str:
        """Return the instructions; `values` come from this project or its user, never from a deck."""
        import jinja2

        environment = jinja2.Environment(  # noqa: S701  # plain text, not HTML
            undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        return environment.from_string(self.body).render(**values).strip()


@functools.cache
def load_prompt(name: str) -> Prompt:
    """Return a prompt that comes with the package."""
    import yaml

    text = resources.files("pagemill.decks").joinpath(FOLDER, f"{name}.md").read_text(encoding="utf-8")
    match = _FRONT_MATTER.match(text)
    if not match:
        raise ValueError(f"{name}.md has no front matter")
    facts = yaml.safe_load(match["facts"])
    return Prompt(name, facts["version"], facts.get("max_tokens", 0), match["body"].strip())


def prompt_digests(*names: str) -> dict[str, str]:
    """Return what prompts a stage asks with, for its key; the words around the material are among them."""
    return {name: load_prompt(name).digest for name in (*names, MATERIAL)}


def fenced(text: str) -> str:
    """Return text of a deck between marks that it cannot contain, since they are named after its digest."""
    mark = hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:FENCE_CHARACTERS]
    return f"<deck-{mark}>\n{text}\n</deck-{mark}>"


def material(heading: str, texts: Iterable[str]) -> str:
    """Return the words of a question beside its instructions: a heading of ours, and the deck's words, fenced.

    Args:
        heading: What the material is; must not hold words of the deck.
        texts: Of the deck.
    """
    return load_prompt(MATERIAL).fill(heading=heading, material=fenced("\n\n".join(texts)))
