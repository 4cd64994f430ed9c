"""Have a vision model judge every slide of a deck."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from pagemill.components import images


@dsl.component(base_image=images.PIPELINE, install_kfp_package=False)
def slide_feedback(
    deck: str,
    store: str,
    vision_url: str,
    vision_model: str,
    outcome: Output[Dataset],
    model_key: str = "",
    dpi: int = 150,
    max_slides: int = 100,
    slide_ocr: bool = True,
    parallel: int = 2,
) -> None:
    """Say of every slide what is strong, what is weak, and what would make it better.

    Args:
        deck: As collect_decks gives it.
        store: URI of the store.
        vision_url: OpenAI routes of the server whose model looks at slides, such as `http://vllm.models:8000/v1`.
        vision_model: Its name there.
        outcome: Names the result in the store, or tells why there is none. Metadata: deck, pdf_sha256, task, result,
            content_digest, status, reason, parts, failed_parts, is_final, calls, tokens_in, tokens_out, model_seconds.
        model_key: Names the secret that the servers want: `env:NAME`, or `secret:projects/<p>/secrets/<s>`; empty for
            none.
        dpi: Of the pictures of slides, 96 to 150.
        max_slides: A deck of more slides is refused.
        slide_ocr: Whether slides without a text layer are read by RapidOCR.
        parallel: Questions at a time.
    """
    from pagemill.decks.batch.running import review_deck
    from pagemill.storage import Store

    found = review_deck(
        "slide_feedback",
        deck,
        Store(store),
        vision_url=vision_url,
        vision_model=vision_model,
        model_key=model_key,
        dpi=dpi,
        max_slides=max_slides,
        slide_ocr=slide_ocr,
        parallel=parallel,
    )
    found.write(outcome.path)
    outcome.metadata.update(found.metadata)
