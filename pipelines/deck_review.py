"""Pitch decks in, a review of each and a table of all out: the tasks of a review on demand, for a batch."""

import copy
from typing import Any

from kfp import dsl

from pagemill.components.collect_decks import collect_decks
from pagemill.components.conclude_review import conclude_review
from pagemill.components.extractions_and_template import extractions_and_template
from pagemill.components.report_reviews import report_reviews
from pagemill.components.slide_feedback import slide_feedback
from pagemill.components.specialized_analysis import specialized_analysis
from pagemill.components.visual_analysis import visual_analysis
from pagemill.decks.specialized import Specialty
from pagemill.decks.tasks import TASKS
from pagemill.pipelines.placing import Placement
from pagemill.presets import Preset

NAME = "deck-review"
DESCRIPTION = "Pitch decks in, a review of each and a table of all out."
MODEL_KEY = "MODEL_KEY"  # the variable that holds it on a cluster

COMPONENTS: dict[str, tuple[Any, dict[str, str]]] = {  # by task, with what makes it this task
    "visual_analysis": (visual_analysis, {}),
    "slide_feedback": (slide_feedback, {}),
    "extractions_and_template": (extractions_and_template, {}),
    **{f"specialized_{each}": (specialized_analysis, {"specialty": str(each)}) for each in Specialty},
}


def deck_review(preset: Preset, ocr: str = "") -> Any:
    """Make the pipeline.

    Args:
        preset: What its tasks run on; they need no GPU, for models are asked over HTTP.
        ocr: Of no meaning here; every pipeline is made of a preset and a way of OCR.
    """
    placement = Placement(preset, NAME)

    @dsl.pipeline(name=NAME, description=DESCRIPTION)
    def pipeline(
        source: str,
        source_fingerprint: str,
        store: str,
        vision_url: str,
        vision_model: str,
        text_url: str,
        text_model: str,
        pattern: str = "*.pdf",
        model_key: str = "",
        template: str = "healthcare",
        specialists: str = "healthcare",
        dpi: int = 150,
        max_slides: int = 100,
        slide_ocr: bool = True,
        max_characters: int = 60_000,
        parallel: int = 2,
    ) -> None:
        """Review every deck of a source.

        Args:
            source: A PDF, folder or glob, or a `gs://` prefix; at most 100 decks.
            source_fingerprint: Names the state of the source. The decks are cached under it: give another to look
                again.
            store: URI of the store that keeps decks, answers, results and reports.
            vision_url: OpenAI routes of the server whose model looks at slides, such as `http://vllm.models:8000/v1`.
            vision_model: Its name there.
            text_url: The same of the model that reads.
            text_model: Its name there.
            pattern: Which file names are decks.
            model_key: Names the secret that the servers want: `env:NAME`, or `secret:projects/<p>/secrets/<s>`; empty
                for none.
            template: What is asked: the name of a shipped template, or a YAML by path or URI.
            specialists: Which decks the specialists see: `healthcare` or `always`.
            dpi: Of the pictures of slides, 96 to 150.
            max_slides: A deck of more slides is refused.
            slide_ocr: Whether slides without a text layer are read by RapidOCR.
            max_characters: Of the deck's text in one question.
            parallel: Questions at a time, of each task.
        """
        given = dict(locals())
        decks = placement.cpu_task(
            collect_decks(source=source, source_fingerprint=source_fingerprint, store=store, pattern=pattern)
        )
        with dsl.ParallelFor(decks.outputs["Output"], name="deck", parallelism=preset.parallelism or None) as deck:
            outcomes = _review(deck, placement, given)
            review = placement.cpu_task(conclude_review(deck=deck, store=store, **outcomes))
        report = report_reviews(
            files=decks.outputs["files"], reviews=dsl.Collected(review.outputs["review"]), store=store
        )
        placement.cpu_task(report).set_caching_options(False)  # it tells of this run

    return pipeline


def _named(component: Any, name: str) -> Any:
    """Return a component that makes tasks of another name: one component is three tasks of a deck."""
    renamed = copy.deepcopy(component)
    renamed.component_spec.name = name.replace("_", "-")
    return renamed


def _review(deck: Any, placement: Placement, parameters: dict[str, Any]) -> dict[str, Any]:
    """Make the tasks of a deck as their table says; return what becomes of each, by its name."""
    outcomes: dict[str, Any] = {}
    for task in TASKS:
        component, constants = COMPONENTS[task.name]
        component = _named(component, task.name)
        given = {name: value for name, value in parameters.items() if name in component.component_spec.inputs}
        made = component(deck=deck, **{need: outcomes[need] for need in task.needs}, **constants, **given)
        outcomes[task.name] = placement.cpu_task(made, secrets=[MODEL_KEY], retries=task.attempts - 1).outputs[
            "outcome"
        ]
    return outcomes
