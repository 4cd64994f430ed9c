"""Have a text model judge the claims of a deck as a specialist does."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def specialized_analysis(
    specialty: str,
    deck: str,
    extractions_and_template: Input[Dataset],
    store: str,
    vision_url: str,
    vision_model: str,
    text_url: str,
    text_model: str,
    outcome: Output[Dataset],
    model_key: str = "",
    template: str = "healthcare",
    specialists: str = "healthcare",
    dpi: int = 150,
    max_slides: int = 100,
    slide_ocr: bool = True,
    max_characters: int = 60_000,
    parallel: int = 2,
) -> None:
    """Assess the deck's clinical, regulatory or scientific claims, say what is missing, and what to ask the company.

    Args:
        specialty: `clinical`, `regulatory` or `science`.
        deck: As collect_decks gives it.
        extractions_and_template: What became of that task for this deck.
        store: URI of the store.
        vision_url: OpenAI routes of the server whose model looks at slides, such as `http://vllm.models:8000/v1`.
        vision_model: Its name there.
        text_url: The same of the model that reads.
        text_model: Its name there.
        outcome: Names the result in the store, or tells why there is none. Metadata: deck, pdf_sha256, task, result,
            content_digest, status, reason, parts, failed_parts, is_final, calls, tokens_in, tokens_out, model_seconds.
        model_key: Names the secret that the servers want: `env:NAME`, or `secret:projects/<p>/secrets/<s>`; empty for
            none.
        template: What is asked: the name of a shipped template, or a YAML by path or URI.
        specialists: Which decks the specialists see: `healthcare` or `always`.
        dpi: Of the pictures of slides, 96 to 150.
        max_slides: A deck of more slides is refused.
        slide_ocr: Whether slides without a text layer are read by RapidOCR.
        max_characters: Of the deck's text in one question.
        parallel: Questions at a time.
    """
    from pagemill.decks.batch.outcomes import TaskOutcome
    from pagemill.decks.batch.running import review_deck
    from pagemill.storage import Store

    found = review_deck(
        f"specialized_{specialty}",
        deck,
        Store(store),
        [TaskOutcome.read(extractions_and_template.path)],
        vision_url=vision_url,
        vision_model=vision_model,
        text_url=text_url,
        text_model=text_model,
        model_key=model_key,
        template=template,
        specialists=specialists,
        dpi=dpi,
        max_slides=max_slides,
        slide_ocr=slide_ocr,
        max_characters=max_characters,
        parallel=parallel,
    )
    found.write(outcome.path)
    outcome.metadata.update(found.metadata)
