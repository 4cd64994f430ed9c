"""Whether the model answers: it is brought up, waited for, and waited for again when it fell silent."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pagemill.decks.asking import Model, ModelUnavailable
from pagemill.decks.models.chat import CALL_SECONDS, ChatModel
from pagemill.decks.models.ollama_models import OllamaModels, digests_on
from pagemill.decks.models.patience import is_passing
from pagemill.decks.models.servers import Server
from pagemill.errors import UserError

PAUSE_SECONDS = 1.0  # between two looks at a server that does not answer
PAUSE_AFTER_REFUSAL_SECONDS = 30.0

log = logging.getLogger("pagemill")

Tell = Callable[[str], None]  # what is waited for, in a line
Warm = Callable[[Tell], Model]  # returns a model that has just answered


class Readiness:
    """Keeps a model ready, in a thread of its own.

    Args:
        warm: Brings the model up and waits until it has answered.
        on_mistake: Told when the model can never be had, because of a mistake of the user.
        on_change: Told when the model answers from now on, or does so no longer.
    """

    def __init__(
        self,
        warm: Warm,
        on_mistake: Callable[[UserError], None] = lambda mistake: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._warm, self._on_mistake, self._on_change = warm, on_mistake, on_change
        self._lock = threading.Lock()
        self._warming = False
        self._model: Model | None = None
        self.identity = ""  # of the model that answered last
        self.waits_for = "the model is not asked yet"
        self.trouble = ""  # why a model that had answered is asked anew

    @property
    def is_ready(self) -> bool:
        """Say whether the model answered when it was asked last."""
        return self._model is not None

    def model(self) -> Model:
        """Return the model as it is now; raises `ModelUnavailable` while none has answered."""
        model = self._model
        if model is None:
            raise ModelUnavailable(self.waits_for)
        return model

    def start(self) -> None:
        """Warm the model up, unless that is going on."""
        with self._lock:
            if self._warming:
                return
            self._warming = True
        threading.Thread(target=self._work, name="warming", daemon=True).start()

    def doubt(self, trouble: str) -> None:
        """Ask the model anew, for it left a question without an answer."""
        if self._model is not None:
            log.warning("the model is asked anew: %s", trouble)
        self._model, self.trouble, self.waits_for = None, trouble, "the model has to answer again"
        self._on_change()
        self.start()

    def _work(self) -> None:
        while (model := self._warmed()) is None:
            time.sleep(PAUSE_AFTER_REFUSAL_SECONDS)
        with self._lock:
            self._model, self._warming = model, False
            self.identity, self.trouble, self.waits_for = model.identity, "", ""
        log.info("the model answers", extra={"fields": {"model": self.identity}})
        self._on_change()

    def _warmed(self) -> Model | None:
        """Return a model that answers; None for a mistake of the user."""
        try:
            return self._warm(self._tell)
        except UserError as mistake:
            log.error("the model cannot be had: %s", mistake)
            self.waits_for = str(mistake)
            if not self.identity:
                self._on_mistake(mistake)
            return None

    def _tell(self, what: str) -> None:
        if what != self.waits_for:
            log.info("waiting: %s", what)
            self.waits_for = what


def warm_chat_model(
    url: str, model: str, key: str = "", *, call_seconds: float = CALL_SECONDS, pause_seconds: float = PAUSE_SECONDS
) -> Warm:
    """Return what brings a model up on a server: on an Ollama it is pulled and loaded first.

    Args:
        url: Of the server's OpenAI routes.
        model: The name that the server knows it by.
        key: Name of the secret that the server wants; "" for none.
        call_seconds: How long a call may take until its answer begins to come.
        pause_seconds: Between two looks at a server that does not answer.

    Raises:
        UserError: The URL or the secret's name is none.
    """
    server = Server(url, key)

    def warm(tell: Tell) -> Model:
        tell(f"{server} has to answer")
        _until(lambda: _bring_up(server, model, tell), f"{server} does not answer", tell, pause_seconds)
        # A new one, which knows nothing of the model from before.
        chat = ChatModel(url, model, key, call_seconds=call_seconds)
        while not chat.ready():
            tell(f"model {model} does not answer yet")
            time.sleep(pause_seconds)
        _until(lambda: chat.identity, f"{server} does not tell which model it has", tell, pause_seconds)
        return chat

    return warm


def _bring_up(server: Server, model: str, tell: Tell) -> None:
    if digests_on(server) is not None:
        models = OllamaModels(server.base_url, server.key)
        tell(f"model {model} is looked up")
        models.pull(model, lambda share: tell(f"model {model} is pulled, {share:.0%}"))
        tell(f"model {model} is loading")
        models.preload(model)
    tell(f"model {model} has to answer")


def _until(step: Callable[[], Any], waits_for: str, tell: Tell, pause_seconds: float) -> None:
    """Repeat a step until its server answers."""
    while True:
        try:
            step()
        except Exception as error:
            if not is_passing(error) and not isinstance(error, ModelUnavailable):
                raise
            tell(waits_for)
            time.sleep(pause_seconds)
        else:
            return
