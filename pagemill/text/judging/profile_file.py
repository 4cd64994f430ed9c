"""Reads the YAML of a profile, and says where in it something stands that does not fit."""

import difflib
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pagemill.errors import UserError

if TYPE_CHECKING:
    import yaml

_EXPONENT = re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+\Z")  # a number of JSON, 1e-05, that YAML 1.1 takes for a text

_MAX_NESTING = 50

Place = tuple[str | int, ...]


def read_mapping(content: bytes, source: str) -> tuple[dict[str, Any], str]:
    """Return the values of a YAML file of names and values, and its text.

    `no` and `on` are texts, as codes of languages are, and so are dates. Anchors are not read, as a file of few
    bytes could stand for any number of values with them.

    Args:
        content: The file's bytes, UTF-8.
        source: What errors call the file.

    Raises:
        UserError: The file is no such YAML.
    """
    import yaml

    mend = "write it as YAML: names and values, lists with a dash before each item"
    try:
        text = content.decode("utf-8-sig")
        _check_nesting(text, source)
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, _loader())):
            raise UserError(f"profile {source}", "has an alias (*name)", "write out what it stands for")
        root = yaml.compose(text, _loader())
        _check_names(root, source)
        values = yaml.load(text, _loader())  # noqa: S506  the loader is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"profile {source}{line}", f"is no YAML ({error.problem})", mend) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"profile {source}", f"is no YAML ({type(error).__name__})", mend) from error
    if not isinstance(values, dict):
        raise UserError(f"profile {source}", "has no names and values", mend)
    return values, text


def place_of(source: str, text: str, place: Place) -> str:
    """Return where something stands: "profile mine.yaml, pages[2].above, line 12".

    Args:
        source: What errors call the file.
        text: Its YAML; "" where there is no file.
        place: Names and numbers of items on the way to it.
    """
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
    line = f", line {_line_of(text, place)}" if text else ""
    return ", ".join(filter(None, (f"profile {source}", path))) + line


def close_to(word: str, known: Sequence[str]) -> str:
    """Return how to mend a name that is not known, by those that are."""
    nearest = difflib.get_close_matches(word, known, n=1)
    guess = f"did you mean {nearest[0]}? " if nearest else ""
    return f"{guess}known are {', '.join(known)}"


@functools.cache
def _loader() -> type["yaml.SafeLoader"]:
    import yaml

    class Loader(yaml.SafeLoader):
        """A safe loader that knows numbers, null and texts only."""

    kept = {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:null"}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in kept]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))
    return Loader


def _check_nesting(text: str, source: str) -> None:
    """Raise UserError for brackets within brackets that no profile needs: reading them takes quadratic time."""
    steps = ((sign in "[{") - (sign in "]}") for sign in text)
    if max(itertools.accumulate(steps), default=0) > _MAX_NESTING:
        raise UserError(f"profile {source}", f"has more than {_MAX_NESTING} brackets open", "close them")


def _check_names(root: Any, source: str) -> None:
    """Raise UserError where a mapping has the same name twice, of which YAML would silently take the last."""
    for node in _mappings(root):
        seen: set[str] = set()
        for name, _ in node.value:
            if str(name.value) in seen:
                subject = f"profile {source}, line {name.start_mark.line + 1}"
                raise UserError(subject, f"{name.value} is there twice", "keep one of them")
            seen.add(str(name.value))


def _mappings(node: Any) -> Iterator[Any]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if getattr(node, "id", "") == "mapping":
            yield node
            waiting += [value for _, value in node.value]
        elif getattr(node, "id", "") == "sequence":
            waiting += node.value


def _line_of(text: str, place: Place) -> int:
    """Return the line, from 1, of the last step of a place that the text has."""
    import yaml

    node: Any = yaml.compose(text, _loader())
    line: int = node.start_mark.line + 1
    for step in place:
        if node.id == "sequence" and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif node.id == "mapping":
            found = next(((name, value) for name, value in node.value if name.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
    return line
