"""What a model's server refuses for good, said so that the user can mend it."""

import re

import openai

from pagemill.decks.models.patience import is_passing
from pagemill.decks.models.servers import Server
from pagemill.errors import UserError

MISUNDERSTOOD = (400, 422)  # also said of an answer's form that the server does not know
BY_STATUS = {
    401: ("it does not accept the key", "name the secret that holds the right one"),
    403: ("it does not let the key's owner in", "name the secret of another key"),
    404: ("it has no such model or no such route", "ollama pull {model}, or mend the URL, which ends in /v1 as a rule"),
}
BY_MESSAGE = {  # in the words of llama.cpp, Ollama and vLLM, some of which answer with a status of 500
    r"image input is not supported|missing data required for image input|not a multimodal model|at most 0 image": (
        "it does not see pictures",
        "name a vision model, or serve this one with its projector",
    ),
    r"context (size|length|window)|exceed_context": (
        "the question is longer than its context",
        "serve it with a longer one (OLLAMA_CONTEXT_LENGTH, --max-model-len, --ctx-size)",
    ),
}


class Misunderstood(UserError):
    """A refusal that may be of the answer's form alone."""


def refusal_of(error: BaseException, server: Server, model: str) -> UserError | None:
    """Return what a refusal means that is final; None for errors that may pass, and for others than refusals.

    What the server said is left out, for it may quote the question.
    """
    if not isinstance(error, openai.APIStatusError):
        return None
    subject, status = f"{model} at {server}", error.status_code
    by_message = (told for pattern, told in BY_MESSAGE.items() if re.search(pattern, error.message, re.IGNORECASE))
    if told := BY_STATUS.get(status) or next(by_message, None):
        reason, mend = told
        return UserError(subject, reason, mend.format(model=model))
    if is_passing(error):
        return None
    kind = Misunderstood if status in MISUNDERSTOOD else UserError
    return kind(subject, f"it refuses what it is asked (HTTP {status})", "its own log says why")
