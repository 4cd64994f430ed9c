"""Put together what was found of a deck."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def conclude_review(
    deck: str,
    visual_analysis: Input[Dataset],
    slide_feedback: Input[Dataset],
    extractions_and_template: Input[Dataset],
    specialized_clinical: Input[Dataset],
    specialized_regulatory: Input[Dataset],
    specialized_science: Input[Dataset],
    store: str,
    review: Output[Dataset],
    report: Output[HTML],
) -> None:
    """Write a deck's report as a page, and all that was found as JSON; both go into the store too.

    Args:
        deck: As collect_decks gives it.
        visual_analysis: What became of that task for this deck.
        slide_feedback: What became of that task for this deck.
        extractions_and_template: What became of that task for this deck.
        specialized_clinical: What became of that task for this deck.
        specialized_regulatory: What became of that task for this deck.
        specialized_science: What became of that task for this deck.
        store: URI of the store.
        review: The deck in one row: what it says, what became of each task, what that took. Metadata: name, pdf_sha256,
            status, reason, content_digest, failed_parts, flags, calls, tokens_in, tokens_out, model_seconds, review,
            report.
        report: The page, self-contained. Metadata: name.
    """
    from pathlib import Path

    from pagemill.decks.batch import reporting as room
    from pagemill.decks.batch.items import deck_of
    from pagemill.decks.batch.outcomes import TaskOutcome
    from pagemill.storage import Store

    tasks = [
        visual_analysis,
        slide_feedback,
        extractions_and_template,
        specialized_clinical,
        specialized_regulatory,
        specialized_science,
    ]
    outcomes = [TaskOutcome.read(each.path) for each in tasks]
    row = room.conclude_review(deck_of(deck), outcomes, Store(store), Path(report.path))
    row.write(review.path)
    review.metadata.update(row.metadata)
    report.metadata.update(name=row.name)
