"""A model behind a server that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp and the like."""

import contextlib
import dataclasses
import functools
import time
from typing import Any

from pagemill.decks.asking import Answer, AnswerT, BadAnswer, Call, ModelUnavailable, Question
from pagemill.decks.models.forms import NOTHING, NotOfForm, Said, read_answer, said_in
from pagemill.decks.models.identity import identity_of
from pagemill.decks.models.messages import asked_again, in_words, messages_of
from pagemill.decks.models.patience import Patience, is_passing, named
from pagemill.decks.models.refusals import Misunderstood, refusal_of
from pagemill.decks.models.schemas import strict_schema
from pagemill.decks.models.servers import Server

CALL_SECONDS = 180.0
READY_SECONDS = 60.0
SEED = 0
TINY_QUESTION = [{"role": "user", "content": "Say OK."}]


class ChatModel:
    """A model by its name on a server; threads may share it.

    Args:
        base_url: Of the server's OpenAI routes, such as http://127.0.0.1:11434/v1; without a path, /v1 is meant.
        model: The name that the server knows it by.
        key: Name of the secret that the server wants as a bearer token; "" for none.
        call_seconds: How long a call may take until its answer begins to come.
        patience: How often and how long a call is tried again.

    Raises:
        UserError: The URL or the secret's name is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str = "",
        *,
        call_seconds: float = CALL_SECONDS,
        patience: Patience | None = None,
    ) -> None:
        self.model = model
        self._server = Server(base_url, key)
        self._call_seconds = call_seconds
        self._patience = patience or Patience()
        self._asked_in_words: set[type] = set()  # forms whose schema the server does not understand
        self._has_answered = False

    @functools.cached_property
    def identity(self) -> str:
        """The model's name and a digest of what its server tells of it, so that changed weights change it.

        Ollama tells the digest of weights, template and parameters. llama.cpp tells sizes and quantisation, vLLM the
        path of the weights and the context's length: there, other weights of the same shape or in the same place go
        unnoticed. A server that tells nothing leaves the name alone. Asked for once in the life of this object.

        Raises:
            ModelUnavailable: The server does not answer.
            UserError: The server is an Ollama that does not have the model.
        """
        return identity_of(self._server, self.model, self._patience)

    def ask(self, question: Question[AnswerT]) -> Answer[AnswerT]:
        """Ask, check the answer against its schema, and ask once more if it is not of that form.

        Raises:
            BadAnswer: The second answer was not of that form either; it has the raw answers.
            ModelUnavailable: No answer, however often it was tried.
            UserError: The server refuses the question, the key or the model.
        """
        schema, messages = strict_schema(question.answer), messages_of(question)
        calls: list[Call] = []
        raw: list[str] = []
        while True:
            said = self._in_form(messages, question, schema, calls)
            try:
                return Answer(read_answer(said, question.answer), tuple(calls))
            except NotOfForm as fault:
                calls[-1] = dataclasses.replace(calls[-1], error=fault.kind)
                raw.append(said.text)
                if len(raw) == 2:
                    message = f"{self.model}: answered twice not as {question.answer.__name__}: {fault}"
                    raise BadAnswer(message, tuple(calls), tuple(raw)) from None
                messages = asked_again(messages, said, fault, schema)

    def ready(self, timeout_seconds: float = READY_SECONDS) -> bool:
        """Say whether the model has answered; ask it one tiny question, once, if it has not yet.

        Args:
            timeout_seconds: How long to wait for the answer; a server that loads the model first takes its time.

        Raises:
            UserError: The server refuses the key or the model.
        """
        if not self._has_answered:
            try:
                self._call({"messages": TINY_QUESTION, "max_tokens": 1}, [], timeout_seconds)
            except Exception as error:
                if not is_passing(error):
                    raise
        return self._has_answered

    def _in_form(
        self, messages: list[dict[str, Any]], question: Question[Any], schema: dict[str, Any], calls: list[Call]
    ) -> Said:
        """Ask with the schema; in words instead, and from then on, when a server refuses the form's schema alone."""
        form = question.answer
        body = {"messages": messages, "max_tokens": question.max_tokens}
        if form not in self._asked_in_words:
            strict = {"type": "json_schema", "json_schema": {"name": form.__name__, "schema": schema, "strict": True}}
            with contextlib.suppress(Misunderstood):
                return self._patiently({**body, "response_format": strict}, calls)
        words = {"messages": in_words(messages, schema), "response_format": {"type": "json_object"}}
        said = self._patiently({**body, **words}, calls)
        self._asked_in_words.add(form)
        return said

    def _patiently(self, body: dict[str, Any], calls: list[Call]) -> Said:
        try:
            return self._patience.repeat(lambda: self._call(body, calls, self._call_seconds), self.model)
        except Exception as error:
            if not is_passing(error):
                raise
            # Without the original error, whose message may quote what was asked.
            raise ModelUnavailable(f"{self.model}: {named(error)} (call {len(calls)})", tuple(calls)) from None

    def _call(self, body: dict[str, Any], calls: list[Call], timeout_seconds: float) -> Said:
        """Make one call and record it."""
        create = self._server.openai_client.chat.completions.create
        started, said, failure = time.monotonic(), NOTHING, ""
        try:
            said = said_in(create(model=self.model, temperature=0, seed=SEED, timeout=timeout_seconds, **body))
        except Exception as error:
            failure = named(error)
            if refusal := refusal_of(error, self._server, self.model):
                raise refusal from None
            raise
        finally:
            seconds = time.monotonic() - started
            calls.append(Call(self.model, seconds, said.tokens_in, said.tokens_out, failure))
        self._has_answered = True
        return said
