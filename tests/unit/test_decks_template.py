"""Templates are YAML files of sections and questions, checked when they are loaded."""

from pathlib import Path

import pytest

from pagemill.decks.template import Template, load_template
from pagemill.errors import UserError
from tests.decks import HEALTH, PARCELS, truth_of

SMALL = """
name: small
version: 3
title: A small review
sections:
  - id: basics
    title: Basics
    questions:
      - {id: model, ask: "Who pays?"}
"""


def test_the_shipped_template_has_questions_that_the_sample_decks_answer() -> None:
    questions = {question.id for section in load_template().sections for question in section.questions}
    assert questions == set(truth_of(HEALTH)["template"]) == set(truth_of(PARCELS)["template"])


def test_a_template_of_a_file_is_loaded_and_travels_as_json(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    template = load_template(str(tmp_path / "small.yaml"))
    assert (template.name, template.version, template.sections[0].questions[0].ask) == ("small", 3, "Who pays?")
    assert Template.model_validate_json(template.model_dump_json()) == template


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("version: 3", "version: three"), "version: Input should be a valid integer"),
        (("id: basics", "id: The Basics"), r"sections\.0\.id: String should match pattern"),
        (("id: model", "id: copy"), "copy means something else to pydantic"),
        (("title: Basics", "titel: Basics"), r"sections\.0\.titl?el?"),
        (("name: small", "name: [small"), "is not YAML"),
        (('ask: "Who pays?"}', 'ask: "Who pays?"}\n      - {id: model, ask: "Who?"}'), "model comes twice"),
    ],
)
def test_what_is_wrong_with_a_template_is_said_in_one_line(change: tuple[str, str], says: str, tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace(*change))
    with pytest.raises(UserError, match=says) as failure:
        load_template(str(path))
    assert "\n" not in str(failure.value)


def test_a_missing_template_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        load_template(str(tmp_path / "none.yaml"))
    with pytest.raises(UserError, match=r'template nothing: No such file.*"healthcare"'):
        load_template("nothing")
