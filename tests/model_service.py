"""What the local model server holds: its models, what it is to answer, what goes wrong next, and what was asked."""

import dataclasses
import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import BaseModel

from tests.model_shapes import Asked, Refused, asked_in, fault_of, smallest, tokens_in

Flavour = Literal["ollama", "llama.cpp", "vllm", "openai"]
Fault = Literal[
    "", "429", "500", "503", "slow", "dropped", "half", "page", "half json", "no choices",
    "invalid JSON", "fenced", "wrong schema", "truncated", "empty",
]  # fmt: skip
Said = str | dict[str, Any] | BaseModel | None  # text is said as it is; None leaves it to the next rule
CREATED = 1_700_000_000


@dataclasses.dataclass
class Request:
    """What was asked for."""

    method: str
    path: str
    body: Any
    authorization: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """What to say to the questions that it matches."""

    says: Said | Callable[[Asked], Said]
    system: str = ""
    text: str = ""
    schema: str = ""
    image: bytes = b""

    def answer(self, asked: Asked) -> Said:
        fits = self.system in asked.system and self.text in asked.text and self.schema in ("", asked.schema_name)
        if not fits or (self.image and self.image not in asked.images):
            return None
        return self.says(asked) if callable(self.says) else self.says


@dataclasses.dataclass
class Mishap:
    """A fault that is yet to come, for the next question whose system prompt, text or schema's name has `about`."""

    fault: Fault
    about: str
    seconds: float


class ModelService:
    """A model server for tests."""

    def __init__(self, flavour: Flavour = "ollama") -> None:
        self.flavour = flavour
        self.endpoint = ""
        self.key = ""  # that requests must bear; "" lets all in
        self.knows_json_schema = True
        self.sees_pictures = True
        self.context_tokens = 1_000_000
        self.models = {"llava:13b": "weights of llava", "gemma3:27b": "weights of gemma"}
        self.library: dict[str, str] = {}  # what can be pulled, as `models`
        self.pull_faults: list[int] = []  # each breaks a pull off after so many layers
        self.pulls_end_with: list[dict[str, Any]] = []  # lines in place of a pull
        self.down = False  # everything is answered with 503
        self.loaded: dict[str, float] = {}  # name and keep_alive
        self.requests: list[Request] = []
        self.rules: list[Rule] = []
        self.mishaps: deque[Mishap] = deque()
        self.mistakes: list[str] = []  # of the script itself; the server's end tells of them
        self.closed = threading.Event()
        self.lock = threading.RLock()

    def say(
        self,
        says: Said | Callable[[Asked], Said],
        *,
        system: str = "",
        text: str = "",
        schema: str = "",
        image: bytes = b"",
    ) -> None:
        """Answer so from now on; the first rule that matches and does not say None counts."""
        self.rules.append(Rule(says, system, text, schema, image))

    def fail_next(self, *faults: Fault, about: str = "", seconds: float = 0.0) -> None:
        """Let the next questions go wrong, one after another; "" lets one go well.

        `seconds` is how long "slow" takes, and what the 429 wants to be waited for.
        """
        self.mishaps.extend(Mishap(fault, about, seconds) for fault in faults)

    @property
    def asked(self) -> list[Asked]:
        """The questions that were understood, in order."""
        return [asked_in(each.body) for each in self.requests if each.path == "/v1/chat/completions" and each.body]

    def answer(self, request: Request) -> tuple[Any, Mishap | None]:
        """Return what is answered, and what goes wrong with it."""
        if self.key and request.authorization != f"Bearer {self.key}":
            raise Refused(401, "Incorrect API key provided", "authentication_error")
        if self.down:
            raise Refused(503, "server busy, please try again", "overloaded_error")
        if (request.method, request.path) == ("POST", "/v1/chat/completions"):
            return self._chat(asked_in(request.body))
        routes = {("GET", "/v1/models"): self._models}
        if self.flavour == "ollama":
            routes |= {
                ("GET", "/api/tags"): self._tags,
                ("GET", "/api/ps"): self._ps,
                ("POST", "/api/show"): lambda: self._show(request.body),
                ("POST", "/api/pull"): lambda: self._pull(request.body),
                ("POST", "/api/generate"): lambda: self._generate(request.body),
            }
        if route := routes.get((request.method, request.path)):
            return route(), None
        raise Refused(404, "404 page not found", "not_found_error")

    def _chat(self, asked: Asked) -> tuple[Any, Mishap | None]:
        if self.flavour != "llama.cpp" and asked.model not in self.models:
            raise Refused(404, f"model '{asked.model}' not found", "not_found_error")
        if not self.knows_json_schema and asked.schema is not None:
            raise Refused(400, "'response_format.type' must be one of text, json_object")
        if not self.sees_pictures and asked.images:
            raise Refused(
                500, "image input is not supported - hint: you may need to provide the mmproj", "server_error"
            )
        tokens = tokens_in(json.dumps(asked.body["messages"]))
        if not asked.images and tokens > self.context_tokens:
            raise Refused(
                400, f"request ({tokens} tokens) exceeds the available context size", "exceed_context_size_error"
            )
        self.loaded.setdefault(asked.model, 300.0)
        mishap = self._next_mishap(asked)
        text, is_cut = self._text(asked, mishap.fault if mishap else "")
        return _completion(asked, text, is_cut, tokens), mishap

    def _next_mishap(self, asked: Asked) -> Mishap | None:
        about = f"{asked.system}\n{asked.text}\n{asked.schema_name}"
        found = next((each for each in self.mishaps if each.about in about), None)
        if found is not None:
            self.mishaps.remove(found)
        return found

    def _text(self, asked: Asked, fault: Fault) -> tuple[str, bool]:
        """Return what is said, and whether it was cut off."""
        said = next((said for rule in self.rules if (said := rule.answer(asked)) is not None), None)
        if said is None:
            said = "OK." if asked.schema is None else smallest(asked.schema)
        text = said if isinstance(said, str) else _written(said, asked.schema)
        spoilt = {
            "invalid JSON": text[:-1] + ",",
            "fenced": f"```json\n{text}\n```",
            "wrong schema": '{"another": 1}',
            "truncated": text[: len(text) // 2],
            "empty": "",
        }
        text = spoilt.get(fault, text)
        is_cut = fault == "truncated" or tokens_in(text) > asked.max_tokens
        return text[: 4 * asked.max_tokens], is_cut

    def _models(self) -> dict[str, Any]:
        return {"object": "list", "data": [self._listed(name, weights) for name, weights in self.models.items()]}

    def _listed(self, name: str, weights: str) -> dict[str, Any]:
        told: dict[Flavour, dict[str, Any]] = {
            "ollama": {"created": CREATED, "owned_by": "library"},
            "openai": {"created": CREATED, "owned_by": "system"},
            "llama.cpp": {
                "created": CREATED + len(self.requests),  # the time of asking
                "owned_by": "llamacpp",
                "meta": {"n_ctx_train": 8192, "size": len(weights)},
            },
            "vllm": {
                "created": CREATED + len(self.requests),
                "owned_by": "vllm",
                "root": f"/weights/{_digest(weights)}",
                "parent": None,
                "max_model_len": 8192,
                "permission": [{"id": f"modelperm-{len(self.requests)}", "created": CREATED + len(self.requests)}],
            },
        }
        return {"id": name, "object": "model", **told[self.flavour]}

    def _tags(self) -> dict[str, Any]:
        return {"models": [self._local(name) for name in self.models]}

    def _ps(self) -> dict[str, Any]:
        running = {"expires_at": "2318-01-01T00:00:00Z", "size_vram": 1000, "context_length": 4096}
        return {"models": [{**self._local(name), **running} for name in self.loaded]}

    def _local(self, name: str) -> dict[str, Any]:
        details = {"format": "gguf", "family": "llama", "parameter_size": "13B", "quantization_level": "Q4_0"}
        known = {"modified_at": "2024-01-31T00:00:00Z", "size": 1000, "digest": _digest(self.models[name])}
        return {"name": name, "model": name, **known, "details": details}

    def _show(self, body: dict[str, Any]) -> dict[str, Any]:
        name = self._named(body)
        capabilities = ["completion", *(["vision"] if self.sees_pictures else [])]
        told = {"modelfile": f"FROM {name}", "template": "{{ .Prompt }}", "details": self._local(name)["details"]}
        return {**told, "model_info": {"general.architecture": "llama"}, "capabilities": capabilities}

    def _generate(self, body: dict[str, Any]) -> dict[str, Any]:
        """Load a model, or unload it: that is all that is asked here without a prompt."""
        name, keep_alive = self._named(body), body.get("keep_alive", 300)
        if body.get("prompt"):
            raise Refused(400, "questions go to /v1/chat/completions")
        if keep_alive == 0:
            self.loaded.pop(name, None)
        else:
            self.loaded[name] = keep_alive
        reason = "load" if keep_alive else "unload"
        created = "2024-01-31T00:00:00Z"
        return {"model": name, "created_at": created, "response": "", "done": True, "done_reason": reason}

    def _named(self, body: dict[str, Any]) -> str:
        name = _full_name(body["model"])
        if name not in self.models:
            raise Refused(404, f"model '{body['model']}' not found")
        return name

    def _pull(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the lines of a pull; it breaks off where a fault is due, and goes on from there the next time."""
        name = _full_name(body["model"])
        yield {"status": "pulling manifest"}
        if self.pulls_end_with:
            yield from self.pulls_end_with
            return
        if name not in self.library:
            yield {"error": "pull model manifest: file does not exist"}
            return
        breaks_after = self.pull_faults.pop(0) if self.pull_faults else None
        for index, size in enumerate((1000, 100, 10)):
            if index == breaks_after:
                raise ConnectionAbortedError
            layer = {"status": f"pulling {index}", "digest": f"sha256:{index}", "total": size}
            yield from ({**layer, "completed": size * quarter // 4} for quarter in range(5))
        yield {"status": "verifying sha256 digest"}
        self.models[name] = self.library[name]
        yield {"status": "success"}


def _completion(asked: Asked, text: str, is_cut: bool, tokens: int) -> dict[str, Any]:
    used = {"prompt_tokens": tokens, "completion_tokens": tokens_in(text), "total_tokens": tokens + tokens_in(text)}
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "length" if is_cut else "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": CREATED, "model": asked.model}
    return {**head, "choices": [choice], "usage": used}


def _written(said: dict[str, Any] | BaseModel, schema: dict[str, Any] | None) -> str:
    """Write an answer; a test whose answer does not follow the schema is at fault itself."""
    value = said.model_dump(mode="json") if isinstance(said, BaseModel) else said
    if schema is not None and (fault := fault_of(value, schema)):
        raise AssertionError(f"the scripted answer does not follow the schema: {fault}")
    return json.dumps(value, ensure_ascii=False)


def _digest(weights: str) -> str:
    return hashlib.sha256(weights.encode()).hexdigest()


def _full_name(name: str) -> str:
    return name if ":" in name else f"{name}:latest"
