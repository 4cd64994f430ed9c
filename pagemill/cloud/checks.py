"""What can be known to be wrong with a run before it starts, and before anything is paid for it."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pagemill.errors import UserError
from pagemill.secrets import is_reference

PATHS = ("source", "store", "publish", "checkpoint", "tokenizer", "passwords")  # parameters that may name a file


def check_elsewhere(arguments: Mapping[str, Any]) -> None:
    """Refuse paths of this machine, which tasks on another one would not find; raises UserError."""
    from pagemill.ocr.checkpoint import RELEASES

    for name in PATHS:
        value = str(arguments.get(name, ""))
        is_release = name == "checkpoint" and value.partition("@")[0] in RELEASES
        if value and "://" not in value and not is_reference(value) and not is_release:
            raise UserError(
                f"{name} {value}", "is a path of this machine", "copy it to a bucket and give its gs:// URI"
            )


def check_book_dataset(arguments: Mapping[str, Any], here: bool) -> None:
    """Refuse arguments of book-dataset that a task would refuse later; raises UserError as the task would.

    Args:
        arguments: Values of the pipeline's parameters.
        here: Whether the tasks see the files and variables of this machine.
    """
    from pagemill.archives.shards import check_max_shards
    from pagemill.dataset.gate import check_limit
    from pagemill.dataset.publish import check_target
    from pagemill.ocr.plan import check_fallback
    from pagemill.text.chunking.chunker import check_lengths
    from pagemill.text.judging.profile import load_profile

    check_max_shards(arguments["max_shards"])
    check_fallback(arguments["fallback"])
    check_lengths(arguments["target_tokens"], arguments["max_tokens"], arguments["overlap_tokens"])
    check_limit(arguments["max_failed_fraction"])
    check_target(arguments["publish"], arguments["hf_token"], here=here)
    _check_remote(arguments)
    load_profile(arguments["profile"])
    if here:
        _check_files(arguments)


def _check_remote(arguments: Mapping[str, Any]) -> None:
    """Refuse what can be no endpoint or model of Vertex AI, where one of them reads the pages."""
    from pagemill.ocr.remote.endpoint import Address
    from pagemill.ocr.remote.resources import model_resource

    if "endpoint" in arguments:
        Address.of(arguments["endpoint"])
    if "model" in arguments:
        model_resource(arguments["model"])


def _check_files(arguments: Mapping[str, Any]) -> None:
    from pagemill.archives.passwords import read_passwords
    from pagemill.ocr.checkpoint import RELEASES, resolve_checkpoint
    from pagemill.storage import Store
    from pagemill.text.chunking.tokens import load_tokenizer

    read_passwords(arguments["passwords"])
    checkpoint = arguments["checkpoint"]
    if "://" not in checkpoint and checkpoint.partition("@")[0] not in RELEASES:
        resolve_checkpoint(checkpoint, Store(arguments["store"]))
    if arguments["tokenizer"]:
        load_tokenizer(arguments["tokenizer"])


def check_deck_review(arguments: Mapping[str, Any], here: bool) -> None:
    """Refuse arguments of deck-review that a task would refuse later; raises UserError as the task would.

    Args:
        arguments: Values of the pipeline's parameters.
        here: Whether the tasks see the variables of this machine.
    """
    from pagemill.decks.batch.running import review_parameters
    from pagemill.secrets import check_reference, read_secret

    names = inspect.signature(review_parameters).parameters
    review_parameters(**{name: arguments[name] for name in names})
    if key := arguments["model_key"]:
        read_secret(key) if here else check_reference(key, "model_key")
    if here:
        _check_servers(arguments)


def _check_servers(arguments: Mapping[str, Any]) -> None:
    """Refuse URLs that are none, and a machine that lacks what speaks to models."""
    try:
        from pagemill.decks.models.servers import Server
    except ModuleNotFoundError as missing:
        raise UserError(f"package {missing.name}", "is not installed", "pip install 'pagemill[models]'") from None
    for name in ("vision_url", "text_url"):
        Server(arguments[name])


CHECKS: dict[str, Callable[[Mapping[str, Any], bool], None]] = {
    "book-dataset": check_book_dataset,
    "deck-review": check_deck_review,
}
