"""The life of models on an Ollama: which are there, which are loaded, pulling them and loading them beforehand."""

from collections.abc import Callable
from typing import TypeVar

import ollama

from pagemill.decks.asking import ModelUnavailable
from pagemill.decks.models.patience import PASSING_ERRORS, NoAnswer, Patience, is_passing, named, status_of
from pagemill.decks.models.servers import Server
from pagemill.errors import UserError

FOREVER = -1
DEFAULT_TAG = ":latest"
LEAST_STEP = 0.01  # of progress worth telling
UNKNOWN = "file does not exist"  # so a pull says, after a status of 200, that the library has no such model
Result = TypeVar("Result")


class OllamaModels:
    """The models of an Ollama.

    Args:
        base_url: Of the server, with or without /v1.
        key: Name of the secret that a proxy before it wants as a bearer token; "" for none.
        patience: How often and how long a call is tried again.

    Raises:
        UserError: The URL or the secret's name is none.
    """

    def __init__(self, base_url: str, key: str = "", *, patience: Patience | None = None) -> None:
        self._server = Server(base_url, key)
        self._patience = patience or Patience()

    def present(self) -> dict[str, str]:
        """Return the digest of each model that is there, by full name.

        Raises:
            ModelUnavailable: The server does not answer.
            UserError: It is no Ollama.
        """
        digests = self._patiently(lambda: digests_on(self._server), "Ollama")
        if digests is None:
            raise UserError(str(self._server), "it is no Ollama", "leave pulling and loading to that server")
        return digests

    def loaded(self) -> tuple[str, ...]:
        """Return the full names of the models that are in memory; raises `ModelUnavailable`."""
        running = self._patiently(self._server.ollama_client.ps, "Ollama")
        return tuple(each.model for each in running.models if each.model)

    def pull(self, model: str, progress: Callable[[float], None] = lambda share: None) -> bool:
        """Pull a model that is not there, going on where an earlier attempt ended; say whether it had to be.

        Args:
            model: Its name, with :latest as the default tag.
            progress: Told the share of the bytes that are there, from 0 to 1, never less than before.

        Raises:
            ModelUnavailable: Pulling fails however often it is tried.
            UserError: The server is no Ollama, or there is no such model.
        """
        if full_name(model) in self.present():
            return False
        tell = _Rising(progress)
        self._patiently(lambda: _pull(self._server.ollama_loader, model, tell), model)
        tell(1.0)
        return True

    def preload(self, model: str, keep_alive_seconds: float = FOREVER) -> None:
        """Load a model into memory before the first question.

        Args:
            model: Its name.
            keep_alive_seconds: How long it stays after the last question; negative for always.

        Raises:
            ModelUnavailable: Loading fails however often it is tried.
            UserError: The model is not there.
        """
        ask = self._server.ollama_loader.generate
        self._patiently(lambda: ask(model, "", keep_alive=keep_alive_seconds), model)

    def _patiently(self, call: Callable[[], Result], model: str) -> Result:
        try:
            return self._patience.repeat(call, model)
        except ollama.ResponseError as error:
            if is_passing(error):
                raise ModelUnavailable(f"{model}: {named(error)}") from None
            raise UserError(f"{model} at {self._server}", *_refusal(error, model)) from None
        except PASSING_ERRORS as error:
            raise ModelUnavailable(f"{model}: {named(error)}") from None


class _Rising:
    """Tells a share when it has grown by a hundredth: a pull's falls when the next layer's size becomes known."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress = progress
        self._told = -LEAST_STEP

    def __call__(self, share: float) -> None:
        if share >= self._told + LEAST_STEP or self._told < share == 1:
            self._told = share
            self._progress(share)


def digests_on(server: Server) -> dict[str, str] | None:
    """Return the digest of each model on an Ollama, by full name; None when the server is none."""
    try:
        models = server.ollama_client.list().models
    except ollama.ResponseError as error:
        if is_passing(error):
            raise
        return None
    except (TypeError, ValueError):  # a page, or other JSON
        return None
    return {full_name(each.model): each.digest for each in models if each.model and each.digest}


def full_name(model: str) -> str:
    """Return a model's name with its tag, which is :latest where none is said."""
    return model if ":" in model.rpartition("/")[2] else f"{model}{DEFAULT_TAG}"


def _pull(client: ollama.Client, model: str, tell: _Rising) -> None:
    """Pull to the end, or raise `NoAnswer` where another attempt may go on."""
    layers: dict[str, tuple[int, int]] = {}
    status = ""
    try:
        for part in client.pull(model, stream=True):
            status = part.status or ""
            if part.digest and part.total:
                layers[part.digest] = (part.completed or 0, part.total)
                done, total = map(sum, zip(*layers.values(), strict=True))
                tell(done / total)
    except ollama.ResponseError as error:
        if status_of(error) is None and not _is_unknown(error):
            raise NoAnswer from None
        raise
    if status != "success":
        raise NoAnswer


def _is_unknown(error: ollama.ResponseError) -> bool:
    return status_of(error) == 404 or UNKNOWN in error.error


def _refusal(error: ollama.ResponseError, model: str) -> tuple[str, str]:
    """Return why an Ollama refuses, and the mend."""
    if status_of(error) in (401, 403):
        return "it does not accept the key", "name the secret that holds the right one"
    if _is_unknown(error):
        return "there is no such model", f"ollama pull {model}, or look at its name"
    return f"it refuses ({named(error)})", "its own log says why"
