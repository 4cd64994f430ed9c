"""Profiles: one YAML that says how a collection is cleaned, which pages and books are left out, and what is masked."""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from pagemill.errors import UserError
from pagemill.records import PageQuality, Quality
from pagemill.storage import Store, digest, filesystem_of
from pagemill.text.cleaning.heads import RUNNING_MIN_PAGES, RUNNING_SHARE
from pagemill.text.cleaning.loops import LOOP_REPEATS
from pagemill.text.judging.profile_file import close_to, place_of, read_mapping
from pagemill.text.judging.quality import REPEATED_PAGE
from pagemill.text.judging.rules import Condition, Rule, figure_types

DEFAULT_PROFILE = "books"
PAGE_FIGURES = figure_types(PageQuality)
BOOK_FIGURES = figure_types(Quality) | {"language": str, "language_score": float}

_FOLDER = "profiles"
_SUFFIX = ".yaml"
_MAX_FILE_BYTES = 1 << 20
_SHOWN_CHARACTERS = 60  # of a value that does not fit


@dataclasses.dataclass(frozen=True, slots=True)
class Cleaning:
    """What `pagemill.text.clean` is given; see there."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    running_share: float = RUNNING_SHARE
    running_min_pages: int = RUNNING_MIN_PAGES
    loop_repeats: int = LOOP_REPEATS

    def __post_init__(self) -> None:
        _check(0 < self.running_share <= 1, "running_share", self.running_share, "above 0 and at most 1")
        _check(self.running_min_pages >= 1, "running_min_pages", self.running_min_pages, "at least 1")
        _check(self.loop_repeats >= 2, "loop_repeats", self.loop_repeats, "at least 2")


@dataclasses.dataclass(frozen=True, slots=True)
class Likeness:
    """From which estimated Jaccard similarity on, 0 to 1, two texts say the same."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    min_similarity: float

    def __post_init__(self) -> None:
        _check(0 < self.min_similarity <= 1, "min_similarity", self.min_similarity, "above 0 and at most 1")


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """What is done with the books of a collection; `load_profile` reads one and checks it.

    A section that the file does not have keeps its default: nothing is masked, left out or looked for.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    cleaning: Cleaning = dataclasses.field(default_factory=Cleaning)
    repeated_pages: Likeness | None = None  # of the pages of a book; without it, none is looked for
    duplicates: Likeness | None = None  # of books; without it, only books of equal wording are duplicates
    mask: tuple[str, ...] = ()  # kinds of personal data
    pages: tuple[Rule, ...] = ()
    documents: tuple[Rule, ...] = ()
    name: str = dataclasses.field(default="", compare=False)

    @property
    def digest(self) -> str:
        """The sha256 of the content: comments, order of keys and the name play no part, the order of rules does."""
        return digest(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain JSON values, without the name; what a rule leaves open is left out."""
        content: dict[str, Any] = _plain(dataclasses.asdict(self))
        content.pop("name", None)
        return content

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "") -> Self:
        """Build a profile from `to_dict` values; raises UserError as `load_profile` does."""
        profile = _validated(values, name or "profile", "")
        return dataclasses.replace(profile, name=name)  # type: ignore[return-value]


def load_profile(source: str = DEFAULT_PROFILE) -> Profile:
    """Read a profile and check it.

    Args:
        source: The name of a profile that comes with the package (`shipped_profiles`), or the path or URI of
            a YAML file.

    Raises:
        UserError: There is no such profile, it cannot be read, or something in it is not as it must be.
            The error names the file, the place in it, the reason and the mend.
    """
    if source in shipped_profiles():
        content = importlib.resources.files("pagemill.text").joinpath(_FOLDER, source + _SUFFIX).read_bytes()
        name = source
    else:
        content = _read(source)
        name = source.rstrip("/").rsplit("/", 1)[-1].removesuffix(_SUFFIX).removesuffix(".yml")
    values, text = read_mapping(content, source)
    return dataclasses.replace(_validated(values, source, text), name=name)


def keep_profile(profile: Profile, store: Store) -> str:
    """Put a profile into the store under the digest of its content, and return its URI, which `load_profile` reads."""
    name = f"profiles/{profile.digest}.yaml"
    if not store.exists(name):
        store.write_json(name, profile.to_dict())  # JSON is YAML
    return store.uri_of(name)


def shipped_profiles() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package."""
    folder = importlib.resources.files("pagemill.text").joinpath(_FOLDER)
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in folder.iterdir() if file.name.endswith(_SUFFIX)))


def _read(source: str) -> bytes:
    mend = f"give the path of a YAML file, or the name of a shipped profile: {', '.join(shipped_profiles())}"
    try:
        filesystem, path = filesystem_of(source)
        with filesystem.open(path, "rb") as stream:
            content: bytes = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError, ImportError) as error:
        raise UserError(f"profile {source}", f"cannot be read ({error or type(error).__name__})", mend) from error
    if len(content) > _MAX_FILE_BYTES:
        raise UserError(f"profile {source}", f"has more than {_MAX_FILE_BYTES} bytes", mend)
    return content


@functools.cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Profile)


def _validated(values: Mapping[str, Any], source: str, text: str) -> Profile:
    """Build a profile from plain values; the first thing that is wrong is told with its place."""
    from pydantic import ValidationError

    sections = [field.name for field in dataclasses.fields(Profile) if field.name != "name"]
    if "name" in values:
        raise _unknown(source, text, ("name",), sections)
    given = {section: value for section, value in values.items() if value is not None}
    try:
        profile: Profile = _adapter().validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise _as_user_error(source, text, first, sections) from None
    _check_rules(profile, source, text)
    return profile


def _as_user_error(source: str, text: str, found: Mapping[str, Any], sections: list[str]) -> UserError:
    place: tuple[str | int, ...] = found["loc"]
    if found["type"] == "unexpected_keyword_argument":
        known = {1: sections, 2: _names_of(place)}.get(len(place)) or _names_of(place)
        return _unknown(source, text, place, known)
    if found["type"] == "value_error":
        reason, _, mend = str(found["ctx"]["error"]).partition("; ")
        return UserError(place_of(source, text, place), reason, mend)
    if found["type"] == "missing":
        return UserError(place_of(source, text, place[:-1]), f"{place[-1]} is missing", f"write {place[-1]}: ...")
    wanted = next((mend for ending, mend in _WANTED.items() if str(found["type"]).startswith(ending)), found["msg"])
    return UserError(place_of(source, text, place), f"{_shown(found['input'])} does not fit", wanted)


_WANTED = {
    "float": "give a number",
    "int": "give a whole number",
    "string": "give a text, in quotes if it looks like a number",
    "tuple": "give a list",
    "dataclass": "give names and values, each on a line: name: value",
}


def _shown(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= _SHOWN_CHARACTERS else f"{written[:_SHOWN_CHARACTERS]}..."


def _names_of(place: tuple[str | int, ...]) -> list[str]:
    """Return what a mapping at this place may have."""
    rows: dict[str | int, type] = {"cleaning": Cleaning, "repeated_pages": Likeness, "duplicates": Likeness}
    row: Any = Condition if "unless" in place[:-1] else rows.get(place[0], Rule)
    return [field.name for field in dataclasses.fields(row)]


def _unknown(source: str, text: str, place: tuple[str | int, ...], known: list[str]) -> UserError:
    return UserError(place_of(source, text, place), f"{place[-1]} is not known here", close_to(str(place[-1]), known))


def _check_rules(profile: Profile, source: str, text: str) -> None:
    """Check what rules say against the figures that there are, and their names against one another."""
    from pagemill.text.judging.masking import KINDS

    for index, kind in enumerate(profile.mask):
        if kind not in KINDS:
            raise _unknown(source, text, ("mask", index, kind), list(KINDS))
    names = {REPEATED_PAGE}
    for section, figures in (("pages", PAGE_FIGURES), ("documents", BOOK_FIGURES)):
        for index, rule in enumerate(getattr(profile, section)):
            place = (section, index)
            if rule.name in names:
                reason = f"there is another rule {rule.name}" if rule.name != REPEATED_PAGE else f"{rule.name} is taken"
                raise UserError(place_of(source, text, (*place, "name")), reason, "give each rule a name of its own")
            names.add(rule.name)
            for each in (rule, *rule.unless):
                at = place if each is rule else (*place, "unless", rule.unless.index(each))
                _check_bound(each, figures, source, text, at)


def _check_bound(
    condition: Rule | Condition, figures: Mapping[str, type], source: str, text: str, place: tuple[str | int, ...]
) -> None:
    at = functools.partial(place_of, source, text)
    value_type = figures.get(condition.figure)
    if value_type is None:
        reason = f"{condition.figure} is no figure of {'pages' if place[0] == 'pages' else 'documents'}"
        raise UserError(at((*place, "figure")), reason, close_to(condition.figure, list(figures)))
    words = condition.any_of or condition.none_of
    if words and value_type is not str:
        raise UserError(at(place), f"{condition.figure} is a number", "compare it with above or below")
    if not words and value_type is str:
        raise UserError(at(place), f"{condition.figure} is no number", "compare it with any_of or none_of")
    bound = condition.above if condition.above is not None else condition.below
    if bound is not None and value_type is float and not 0 <= bound <= 1:
        raise UserError(at(place), f"{bound:g} is no share", f"{condition.figure} goes from 0 to 1: write 0.4 for 40 %")
    _check_words(condition.figure, words, at(place))


def _check_words(figure: str, words: tuple[str, ...], place: str) -> None:
    """Check the languages and tags that a condition names."""
    from pagemill.language import known_languages
    from pagemill.text.cleaning.tagging import TAGS

    known: dict[str, Callable[[], frozenset[str]]] = {"language": known_languages, "tag": lambda: frozenset(TAGS)}
    for word in words:
        if word not in known[figure]():
            mend = close_to(word, TAGS) if figure == "tag" else "give codes as ISO 639 has them: en, de, zh"
            raise UserError(place, f"{figure} {word} is not known", mend)


def _check(holds: bool, name: str, value: float, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value}; give a number {wanted}")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, without what is None or empty in mappings."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if each not in (None, (), "")}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
