"""A profile is one YAML: what is wrong in it is told in a line, with the place and the mend."""

import contextlib
import importlib.resources
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagemill.errors import UserError
from pagemill.records import PageQuality, Quality
from pagemill.storage import Store
from pagemill.text.judging.profile import (
    BOOK_FIGURES,
    PAGE_FIGURES,
    Cleaning,
    Likeness,
    Profile,
    keep_profile,
    load_profile,
    shipped_profiles,
)
from pagemill.text.judging.rules import Condition, Rule, first_broken

MINE = """
cleaning:
  running_share: 0.3
repeated_pages:
  min_similarity: 0.9
mask: [email]
pages:
  - name: garbage_page
    figure: garbage_score
    above: 0.6
    unless:
      - {figure: math_share, above: 0.2}
    reason: It cannot be read.
  - name: lists
    figure: tag
    any_of: [index, contents]
    reason: No running text.
documents:
  - name: other_language
    figure: language
    none_of: [en, no]
    reason: The collection is English and Norwegian.
"""


@pytest.fixture
def load(tmp_path):
    """Return a function that loads a profile from a text."""

    def load_text(text: str, name: str = "mine.yaml") -> Profile:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_profile(str(path))

    return load_text


@pytest.fixture
def told(load):
    """Return a function that says what is told of a text that is no profile, without the file's folder."""

    def told_of(text: str) -> str:
        with pytest.raises(UserError) as error:
            load(text)
        assert "\n" not in str(error.value)
        subject, _, rest = str(error.value).partition(": ")
        assert subject.startswith("profile /")
        return f"{subject.rpartition('/')[2]}: {rest}"

    return told_of


def rule(**values) -> str:
    """Return a profile with one rule for pages, to which values are added, or from which they are taken as None."""
    given = {"name": "a", "figure": "garbage_score", "above": 0.5, "reason": "Why."} | values
    return json.dumps({"pages": [{name: value for name, value in given.items() if value is not None}]})


# reading -----------------------------------------------------------------------------------------


def test_a_profile_is_read_with_defaults_for_what_it_does_not_say(load):
    profile = load(MINE)
    assert profile.name == "mine"
    assert profile.cleaning == Cleaning(running_share=0.3)
    assert (profile.repeated_pages, profile.duplicates) == (Likeness(0.9), None)
    assert profile.mask == ("email",)
    garbage, lists = profile.pages
    assert (garbage.above, garbage.unless) == (0.6, (Condition("math_share", above=0.2),))
    assert lists.any_of == ("index", "contents")
    assert profile.documents[0].none_of == ("en", "no")  # not false, as YAML 1.1 would have it


def test_an_empty_profile_leaves_out_and_masks_nothing(load):
    assert load("{}") == load("pages:\nmask:\n# - all of it is commented out") == Profile()


def test_a_profile_is_read_from_any_file_system(load):
    import fsspec

    with fsspec.open("memory://profiles/mine.yaml", "wb") as stream:
        stream.write(MINE.encode())
    assert load_profile("memory://profiles/mine.yaml") == load(MINE)


def test_the_shipped_profile():
    assert "books" in shipped_profiles()
    books = load_profile("books")
    assert books == load_profile()
    assert books.name == "books"
    assert books.cleaning == Cleaning()  # the defaults of clean()
    assert books.mask == ("email", "phone", "ip")
    assert books.repeated_pages
    assert books.duplicates
    assert {each.name for each in books.pages} == {"garbage_page", "looping_page", "loop_residue_page"}


def test_the_examples_in_the_shipped_profile_are_rules(load):
    """What is commented out there works as it stands."""
    text = importlib.resources.files("pagemill.text").joinpath("profiles", "books.yaml").read_text()
    lines = text.split("\n")
    start_marks = [index for index, line in enumerate(lines) if line.strip() == "# Examples, not in force:"]
    assert len(start_marks) == 2
    for start in start_marks:
        for index in range(start + 1, len(lines)):
            if not lines[index].startswith("  # "):
                break
            lines[index] = lines[index].replace("# ", "", 1)
    names = {each.name for each in (*load("\n".join(lines)).pages, *load("\n".join(lines)).documents)}
    assert {"back_matter", "copyright_page", "few_letters", "disagreeing_page", "other_language", "cut_book"} <= names


def test_the_shipped_profile_lists_all_figures():
    text = importlib.resources.files("pagemill.text").joinpath("profiles", "books.yaml").read_text()
    lists = [re.findall(r"\w+", found) for found in re.findall(r"Figures: ([^.]+)\.", text.replace("\n# ", " "))]
    assert [sorted(each) for each in lists] == [sorted(PAGE_FIGURES), sorted(BOOK_FIGURES)]


def test_every_figure_can_be_named(load):
    numbers = [name for name, kind in PAGE_FIGURES.items() if kind is not str]
    rules = [{"name": f"r{n}", "figure": name, "above": 1, "reason": "Why."} for n, name in enumerate(numbers)]
    assert len(load(json.dumps({"pages": rules})).pages) == len(rules)
    assert set(PAGE_FIGURES) == set(PageQuality.__dataclass_fields__)
    assert set(BOOK_FIGURES) == {*Quality.__dataclass_fields__, "language", "language_score"}
    assert PAGE_FIGURES["agreement"] is float


# the digest --------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_content(load):
    profile = load(MINE)
    reordered = "mask: ['email']   # a comment\n" + MINE.replace("mask: [email]\n", "").replace(
        "above: 0.6", "above: 0.60"
    )
    assert load(reordered, "other.yml").digest == profile.digest
    assert load(reordered, "other.yml").name == "other"
    assert load(MINE + "\n# more").digest == profile.digest
    assert load(MINE.replace("0.6", "0.61")).digest != profile.digest


def test_the_order_of_rules_is_part_of_the_digest():
    one, two = Rule("a", "characters", "Why.", below=1), Rule("b", "characters", "Why.", below=2)
    assert Profile(pages=(one, two)).digest != Profile(pages=(two, one)).digest
    assert Profile(pages=(one,)).digest != Profile(documents=(one,)).digest


def test_a_profile_goes_to_json_and_back(load):
    for profile in (load(MINE), load_profile("books"), Profile()):
        values = json.loads(json.dumps(profile.to_dict()))
        assert "name" not in values
        assert Profile.from_dict(values, profile.name) == profile
        assert Profile.from_dict(values).digest == profile.digest


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1).filter(str.strip), st.floats(0, 1), st.sampled_from(["above", "below"]))
def test_a_profile_written_as_json_is_a_file_to_load(tmp_path_factory, reason, bound, side):
    profile = Profile(pages=(Rule("a", "garbage_score", reason, **{side: bound}),))
    path = tmp_path_factory.mktemp("profile") / "a.yaml"
    path.write_text(json.dumps(profile.to_dict(), indent=1))
    assert load_profile(str(path)).digest == profile.digest


def test_values_that_are_no_profile_are_told_without_a_line():
    with pytest.raises(UserError, match=r"^profile mine, pages\[0\].figure: garbage is no figure of pages; did you"):
        Profile.from_dict(json.loads(rule(figure="garbage")), "mine")


# what is wrong, where, and how to mend it --------------------------------------------------------


def test_an_unknown_figure(told):
    text = MINE.replace("figure: garbage_score", "figure: garbage_scor")
    message = told(text)
    assert message.startswith(
        "mine.yaml, pages[0].figure, line 9: garbage_scor is no figure of pages; did you mean garbage_score? known are "
    )
    assert "loop_lines" in message


def test_a_figure_of_books_is_none_of_pages(told):
    assert "missing_share is no figure of pages" in told(rule(figure="missing_share"))


def test_an_unknown_name_in_a_rule_and_in_a_section(told):
    assert told(MINE.replace("above: 0.6", "abov: 0.6")) == (
        "mine.yaml, pages[0].abov, line 10: abov is not known here; did you mean above? "
        "known are name, figure, reason, above, below, any_of, none_of, unless"
    )
    assert told(MINE.replace("running_share", "runing_share")).startswith(
        "mine.yaml, cleaning.runing_share, line 3: runing_share is not known here; did you mean running_share?"
    )
    assert told(MINE.replace("documents:", "books:")).startswith("mine.yaml, books, line 18: books is not known here;")
    assert "name is not known here" in told("name: mine")
    assert "pages[0].unless[0].why" in told(rule(unless=[{"figure": "math_share", "above": 0.1, "why": "x"}]))


def test_a_rule_without_a_condition_and_one_with_two(told):
    assert told(MINE.replace("    above: 0.6\n", "")) == (
        "mine.yaml, pages[0], line 8: a condition is needed, found none; give one of above, below, any_of, none_of"
    )
    assert "found above and below" in told(rule(below=0.1))
    assert "found none" in told(rule(unless=[{"figure": "math_share"}]))


def test_a_rule_that_lacks_something(told):
    assert told(rule(reason=None)) == "mine.yaml, pages[0], line 1: reason is missing; write reason: ..."
    assert "has no reason" in told(rule(reason=" "))
    assert "'A rule' cannot be a rule's name" in told(rule(name="A rule"))


def test_two_rules_of_one_name(told):
    assert told(MINE.replace("name: other_language", "name: lists")) == (
        "mine.yaml, documents[0].name, line 19: there is another rule lists; give each rule a name of its own"
    )
    assert "repeated_page is taken" in told(rule(name="repeated_page"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"above": "0.5"}, "'0.5' does not fit; give a number"),
        ({"above": True}, "'true' does not fit; give a number"),
        ({"above": 40}, "40 is no share; garbage_score goes from 0 to 1: write 0.4 for 40 %"),
        ({"reason": 12}, "12 does not fit; give a text, in quotes if it looks like a number"),
        ({"unless": {"figure": "x"}}, "does not fit; give a list"),
        ({"unless": ["math_share"]}, "'math_share' does not fit; give names and values"),
        ({"above": None, "any_of": ["en"]}, "garbage_score is a number; compare it with above or below"),
        ({"figure": "tag"}, "tag is no number; compare it with any_of or none_of"),
        ({"figure": "tag", "above": None, "any_of": ["indx"]}, "tag indx is not known; did you mean index?"),
        ({"figure": "language", "above": None, "any_of": ["english"]}, "language english is not known; give codes"),
    ],
)
def test_values_that_do_not_fit(told, values, message):
    assert message in told(rule(**values))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cleaning: {running_share: 25}", "running_share is 25.0; give a number above 0 and at most 1"),
        ("cleaning: {loop_repeats: 1}", "loop_repeats is 1; give a number at least 2"),
        ("cleaning: {running_min_pages: 2.5}", "2.5 does not fit; give a whole number"),
        ("cleaning: {running_min_pages: 0}", "running_min_pages is 0; give a number at least 1"),
        ("duplicates: {}", "min_similarity is missing"),
        ("duplicates: {min_similarity: .nan}", "min_similarity is nan"),
        ("repeated_pages: 0.9", "0.9 does not fit; give names and values"),
        ("mask: email", "'email' does not fit; give a list"),
        ("mask: [emails]", "emails is not known here; did you mean email? known are email, phone, ip"),
        ("pages: [{name: a, figure: characters, above: .inf, reason: b}]", "above is inf; give a finite number"),
    ],
)
def test_sections_that_do_not_fit(told, text, message):
    assert message in told(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pages: [", "line 1: is no YAML (expected the node content"),
        ("mask: [email]\n\tpages: 1", "line 2: is no YAML (found character"),
        ("a: 1\nmask: []\nmask: [email]", "line 3: mask is there twice; keep one of them"),
        ("- a\n- b", "has no names and values"),
        ("", "has no names and values"),
        ("just words", "has no names and values"),
        ("pages: &a [*a]", "has an alias"),
        ("pages: !!python/object/apply:os.system ['true']", "is no YAML (could not determine a constructor"),
        ("[" * 100_000, "has more than 50 brackets open; close them"),
        ("a: " + "{a: " * 5000, "has more than 50 brackets open"),
        ("- " * 5000, "is no YAML (RecursionError)"),
        ("a: \x00", "is no YAML"),
        ("? [a]\n: b", "is no YAML"),
    ],
)
def test_files_that_are_no_profile(told, text, message):
    assert message in told(text)


def test_a_long_value_is_not_told_whole(told):
    assert len(told(rule(above="x" * 10_000))) < 200


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no YAML"):
        load_profile(str(tmp_path / "a.yaml"))
    (tmp_path / "big.yaml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(UserError, match="has more than 1048576 bytes"):
        load_profile(str(tmp_path / "big.yaml"))


@pytest.mark.parametrize("source", ["bookz", "nowhere/mine.yaml", "/", "nosuch://a/b.yaml", ""])
def test_a_profile_that_is_not_there(source):
    with pytest.raises(UserError, match=r"cannot be read .*name of a shipped profile: books"):
        load_profile(source)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["pages", "mask", "cleaning", "name", "figure", "above", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_any_values_are_a_profile_or_a_users_mistake(values):
    with contextlib.suppress(UserError):
        assert isinstance(Profile.from_dict(values if isinstance(values, dict) else {"pages": values}), Profile)


# rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "value", "why"),
    [
        ({"above": 0.6}, 0.72, "figure 0.72 is above 0.6"),
        ({"above": 0.6}, 0.6, ""),
        ({"below": 20}, 19, "figure 19 is below 20"),
        ({"below": 20}, 20, ""),
        ({"below": 0}, -1, "figure -1 is below 0"),
        ({"above": 0}, 1234567, "figure 1234567 is above 0"),
        ({"above": 0.3}, 1 / 3, "figure 0.3333 is above 0.3"),
        ({"any_of": ("en", "de")}, "de", "figure de is one of en, de"),
        ({"any_of": ("en", "de")}, "fr", ""),
        ({"none_of": ("en", "de")}, "fr", "figure fr is none of en, de"),
        ({"none_of": ("en", "de")}, "en", ""),
        ({"below": 0.6}, None, ""),
        ({"none_of": ("en",)}, None, ""),
    ],
)
def test_a_rule_says_why_it_is_broken(condition, value, why):
    assert Rule("a", "figure", "Why.", **condition).broken_by({"figure": value}) == why


def test_a_rule_whose_figure_is_not_there_is_not_broken():
    assert Rule("a", "figure", "Why.", below=1).broken_by({}) == ""


def test_one_exception_is_enough():
    exceptions = (Condition("math_share", above=0.2), Condition("tag", any_of=("index",)))
    strict = Rule("a", "garbage_score", "Why.", above=0.5, unless=exceptions)
    assert strict.broken_by({"garbage_score": 0.9, "math_share": 0.1, "tag": "body"})
    assert not strict.broken_by({"garbage_score": 0.9, "math_share": 0.3, "tag": "body"})
    assert not strict.broken_by({"garbage_score": 0.9, "math_share": None, "tag": "index"})


def test_the_first_rule_that_is_broken_counts():
    rules = [Rule("a", "x", "Why.", above=5), Rule("b", "x", "Why.", above=1), Rule("c", "x", "Why.", above=0)]
    assert first_broken(rules, {"x": 3}) == ("b", "x 3 is above 1")
    assert first_broken(rules, {"x": 0}) == ("", "")


def test_a_rule_built_by_hand_is_checked_too():
    with pytest.raises(ValueError, match="found none"):
        Rule("a", "x", "Why.")
    with pytest.raises(ValueError, match="finite"):
        Condition("x", above=float("nan"))


# kept in a store ---------------------------------------------------------------------------------


def test_a_profile_is_kept_under_its_content_and_loads_again(tmp_path):
    store = Store(str(tmp_path / "store"))
    profile = load_profile("books")
    kept = keep_profile(profile, store)
    assert kept == store.uri_of(f"profiles/{profile.digest}.yaml")
    assert (load_profile(kept), load_profile(kept).digest) == (profile, profile.digest)
    assert keep_profile(load_profile(kept), store) == kept
