"""The images of deck review's containers: what they start, where they are reached, and what their Ollama is told."""

import json
import os
import re
from pathlib import Path

import pytest

from containers import health
from pagemill.decks.deck_text import MAX_CHARACTERS
from pagemill.decks.prompts import load_prompt
from pagemill.decks.slides import SlideParameters
from pagemill.decks.visual import MAX_TEXT_CHARACTERS
from pagemill.reviews.container import ollama_child, process
from pagemill.reviews.container.kinds import KINDS
from pagemill.reviews.wire import HEALTH_ROUTE
from pagemill.settings import DecksSettings
from tests.dockerfiles import last_stage, run_steps, steps_of, values_of

CONTAINERS = Path(__file__).parents[3] / "containers"
CHARACTERS_A_TOKEN = 4
PIXELS_A_TOKEN = 28 * 28  # of the models that cut a picture into the most

of_each_kind = pytest.mark.parametrize("kind", KINDS)


def text_of(kind):
    return (CONTAINERS / kind / "Dockerfile").read_text()


def steps(kind):
    return steps_of(CONTAINERS / kind / "Dockerfile")


def value(kind, name):
    """What the last stage says by the one instruction of this name."""
    (found,) = [step.value for step in last_stage(steps(kind)) if step.name == name]
    return found


def environment(kind):
    return values_of(last_stage(steps(kind)), "ENV")


def test_both_are_the_same_but_for_their_names_and_what_their_models_need():
    vision, text = (
        re.sub(rf"(?<![A-Za-z])({kind}|{kind.upper()})", "IT", text_of(kind)).splitlines() for kind in KINDS
    )
    different = {line.split("=")[0].strip() for line, other in zip(vision, text, strict=True) if line != other}
    settings = {each for each in different if not each.startswith("#")}
    assert settings == {"ARG MODEL", "OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL"}


@of_each_kind
def test_it_starts_the_container_of_its_kind_and_ends_it_by_sigterm(kind):
    assert json.loads(value(kind, "ENTRYPOINT")) == ["python3", "/opt/pagemill/app.py"]
    assert f'main("{kind}")' in (CONTAINERS / kind / "app.py").read_text()
    assert value(kind, "STOPSIGNAL") == "SIGTERM"


@of_each_kind
def test_it_is_reached_and_its_health_is_asked_for_at_the_port_that_it_exposes(kind, monkeypatch):
    for name in ("DECK_REVIEW_HOST", "DECK_REVIEW_LISTEN_PORT"):
        monkeypatch.setenv(name, environment(kind)[name])
    started = process._parser(kind).parse_args([])
    assert (started.host, str(started.port)) == ("0.0.0.0", value(kind, "EXPOSE"))
    assert health.health_url() == f"http://127.0.0.1:{started.port}{HEALTH_ROUTE}"


@of_each_kind
def test_its_model_is_that_of_the_settings_and_its_weights_are_in_it_only_where_asked_for(kind):
    arguments = values_of(steps(kind), "ARG")
    assert arguments["MODEL"] == getattr(DecksSettings(), kind).model
    assert arguments["WEIGHTS"] == ""
    assert environment(kind)[f"PAGEMILL_DECKS__{kind.upper()}__MODEL"] == "${MODEL}"
    assert "COPY --from=weights --chown=10001:10001 /models /models" in text_of(kind)
    assert environment(kind)["OLLAMA_MODELS"] == "/models"


@of_each_kind
def test_its_ollama_serves_its_tasks_at_a_time_and_nobody_else(kind):
    variables = environment(kind)
    assert int(variables["OLLAMA_NUM_PARALLEL"]) >= KINDS[kind].max_tasks
    assert variables["OLLAMA_KEEP_ALIVE"] == "-1"
    assert variables["OLLAMA_HOST"] == f"127.0.0.1:{ollama_child.PORT}"
    assert variables["OLLAMA_NO_CLOUD"] == "1"


def test_the_longest_question_and_its_answer_fit_into_the_context():
    picture = SlideParameters().max_pixels / PIXELS_A_TOKEN
    slide = picture + MAX_TEXT_CHARACTERS / CHARACTERS_A_TOKEN + load_prompt("visual_analysis").max_tokens
    deck = MAX_CHARACTERS / CHARACTERS_A_TOKEN + load_prompt("template_section").max_tokens
    contexts = {kind: int(environment(kind)["OLLAMA_CONTEXT_LENGTH"]) for kind in KINDS}
    assert slide < 0.8 * contexts["vision"]  # the rest is for instructions, and for scripts of more tokens
    assert deck < 0.8 * contexts["text"]
    assert contexts["text"] == ollama_child.CONTEXT_TOKENS


OLLAMA = """#!/bin/sh
echo "$*" >> "$OLLAMA_MODELS/asked"
if [ "$1" = list ]; then grep -q serve "$OLLAMA_MODELS/asked"; fi
"""


@pytest.mark.parametrize(("weights", "asked"), [("", ()), ("yes", ("serve", "list", "pull gemma3:27b"))])
def test_weights_are_pulled_while_the_image_is_built_only_where_they_are_asked_for(weights, asked, tmp_path):
    program = tmp_path / "bin/ollama"
    program.parent.mkdir()
    program.write_text(OLLAMA)
    program.chmod(0o755)
    variables = {"WEIGHTS": weights, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    all_steps = steps("text")
    stages = [index for index, step in enumerate(all_steps) if step.name == "FROM"]
    (start,) = [index for index in stages if all_steps[index].value.endswith(" AS weights")]
    stage = all_steps[: stages[0]] + all_steps[start : min(index for index in stages if index > start)]
    run_steps(stage, tmp_path, tmp_path / "root", variables)
    models = tmp_path / "root/models"
    assert set(asked) == set((models / "asked").read_text().splitlines() if weights else ())
    assert models.is_dir()
