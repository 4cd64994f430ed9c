"""Which model a server has under a name: a digest of what it tells of the model and that stays while the model does."""

import hashlib
import json

import openai

from pagemill.decks.asking import ModelUnavailable
from pagemill.decks.models.ollama_models import digests_on, full_name
from pagemill.decks.models.patience import Patience, is_passing, named
from pagemill.decks.models.refusals import refusal_of
from pagemill.decks.models.servers import QUICK_SECONDS, Server
from pagemill.errors import UserError

TOLD = ("meta", "root", "parent", "max_model_len")  # by llama.cpp the first, by vLLM the others; times are left out
DIGITS = 12


def identity_of(server: Server, model: str, patience: Patience) -> str:
    """Return the name of a model and, after an @, a digest; the name alone where the server tells nothing more.

    Raises:
        ModelUnavailable: The server does not answer.
        UserError: The server does not let in, or is an Ollama that does not have the model.
    """
    try:
        digest = patience.repeat(lambda: _digest(server, model), model)
    except Exception as error:
        if is_passing(error):
            raise ModelUnavailable(f"{model}: {named(error)}, asked what it is") from None
        if refusal := refusal_of(error, server, model):
            raise refusal from None
        raise
    return f"{model}@{digest[:DIGITS]}" if digest else model


def _digest(server: Server, model: str) -> str:
    digests = digests_on(server)
    if digests is None:
        return _digest_of_listing(server, model)
    if full_name(model) not in digests:
        raise UserError(f"{model} at {server}", "it has no such model", f"ollama pull {model}")
    return digests[full_name(model)].removeprefix("sha256:")


def _digest_of_listing(server: Server, model: str) -> str:
    """Digest what the list of models says of it; a server with one model answers to any name with that one."""
    try:
        listed = {
            each.id: each.model_extra or {} for each in server.openai_client.models.list(timeout=QUICK_SECONDS).data
        }
    except (openai.NotFoundError, AttributeError, TypeError, ValueError):  # no list, or something else in its place
        return ""
    name = model if len(listed) != 1 else next(iter(listed))
    told = {field: listed[name][field] for field in TOLD if listed.get(name, {}).get(field) is not None}
    if not told:
        return ""
    return hashlib.sha256(json.dumps([name, told], sort_keys=True).encode()).hexdigest()
