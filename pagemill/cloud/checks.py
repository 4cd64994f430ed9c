"""What can be known to be wrong with a run before it starts, and before anything is paid for it."""

from collections.abc import Callable, Mapping
from typing import Any


def check_book_dataset(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments of book-dataset that a task would refuse later; raises UserError as the task would."""
    from pagemill.archives.passwords import read_passwords
    from pagemill.archives.shards import check_max_shards
    from pagemill.dataset.gate import check_limit
    from pagemill.dataset.publish import check_target
    from pagemill.ocr.checkpoint import RELEASES, resolve_checkpoint
    from pagemill.ocr.plan import check_fallback
    from pagemill.storage import Store
    from pagemill.text.chunking.chunker import check_lengths
    from pagemill.text.chunking.tokens import load_tokenizer
    from pagemill.text.judging.profile import load_profile

    check_max_shards(arguments["max_shards"])
    check_fallback(arguments["fallback"])
    check_lengths(arguments["target_tokens"], arguments["max_tokens"], arguments["overlap_tokens"])
    check_limit(arguments["max_failed_fraction"])
    check_target(arguments["publish"])
    read_passwords(arguments["passwords"])
    load_profile(arguments["profile"])
    checkpoint = arguments["checkpoint"]
    if "://" not in checkpoint and checkpoint.partition("@")[0] not in RELEASES:
        resolve_checkpoint(checkpoint, Store(arguments["store"]))
    if arguments["tokenizer"]:
        load_tokenizer(arguments["tokenizer"])


CHECKS: dict[str, Callable[[Mapping[str, Any]], None]] = {"book-dataset": check_book_dataset}
