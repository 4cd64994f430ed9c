"""Asking models: what goes over the wire, what is asked again, tried again or refused, and who answered."""

import io
import logging
import pickle
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import Annotated, Any, Literal

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel, Field

from pagemill.decks.asking import BadAnswer, Model, ModelUnavailable, Question
from pagemill.decks.models.chat import ChatModel
from pagemill.decks.models.ollama_models import OllamaModels
from pagemill.decks.models.patience import Patience
from pagemill.decks.models.schemas import strict_schema
from pagemill.errors import UserError
from pagemill.waiting import asked_seconds
from tests.model_server import running_model_server
from tests.model_service import Fault, Flavour, ModelService
from tests.model_shapes import Refused, check_strict, fault_of, smallest
from tests.sleeping import collect_sleeps

SECRET_WORDS = "Zebrafish revenue is confidential"


class Chart(BaseModel):
    """What a chart shows."""

    unit: str
    values: Annotated[tuple[float, ...], Field(max_length=5)] = ()


class Slide(BaseModel):
    """What is on a slide; it has a property called title, which is a keyword of schemas too."""

    title: str
    kind: Literal["cover", "team"] = "cover"
    charts: list[Chart] = []
    note: str | None = None
    first: Chart = Field(description="The first chart")


GOOD: dict[str, Any] = {
    "title": "Team",
    "kind": "team",
    "charts": [{"unit": "EUR", "values": [1.5]}],
    "note": None,
    "first": {"unit": "EUR", "values": []},
}


def picture(kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 3), "navy").save(content, kind)
    return content.getvalue()


def question(**changes: Any) -> Question[Slide]:
    return Question(**{"system": "You read slides.", "text": SECRET_WORDS, "answer": Slide, **changes})


@pytest.fixture(autouse=True)
def _no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads none for the clients: nothing here goes over TLS, and reading them takes longer than the tests."""
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", lambda *_, **__: None)


@pytest.fixture
def server() -> Iterator[ModelService]:
    with running_model_server() as server:
        server.say(GOOD, schema="Slide")
        yield server


def model_on(server: ModelService, name: str = "llava:13b", **choices: Any) -> ChatModel:
    return ChatModel(server.endpoint, name, **{"patience": Patience(attempts=3, seconds=60), **choices})


class TestAsking:
    def test_an_answer_has_the_type_that_was_asked_for_and_the_call_that_it_took(self, server: ModelService) -> None:
        model: Model = model_on(server)
        answer = model.ask(question())
        assert answer.value == Slide.model_validate(GOOD)
        (call,) = answer.calls
        assert (call.model, call.error) == ("llava:13b", "")
        assert call.seconds > 0
        assert (call.tokens_in, call.tokens_out) == (30, 34)

    def test_pictures_stand_before_the_words_and_arrive_byte_for_byte(self, server: ModelService) -> None:
        images = (picture("PNG"), picture("JPEG"))
        model_on(server).ask(question(images=images))
        (asked,) = server.asked
        assert asked.images == images
        assert (asked.system, asked.text) == ("You read slides.", SECRET_WORDS)
        assert [part["type"] for part in asked.body["messages"][1]["content"]] == ["image_url", "image_url", "text"]

    def test_the_question_wants_the_likeliest_answer_of_the_schema_and_no_more_than_so_much(
        self, server: ModelService
    ) -> None:
        model_on(server).ask(question(max_tokens=77))
        (asked,) = server.asked
        assert {name: asked.body[name] for name in ("temperature", "seed", "max_tokens")} == {
            "temperature": 0,
            "seed": 0,
            "max_tokens": 77,
        }
        assert asked.body["response_format"]["type"] == "json_schema"
        assert (asked.schema_name, asked.schema) == ("Slide", strict_schema(Slide))

    def test_a_picture_of_another_format_is_the_callers_mistake(self, server: ModelService) -> None:
        with pytest.raises(ValueError, match="neither PNG nor JPEG"):
            model_on(server).ask(question(images=(b"GIF89a",)))

    def test_threads_may_ask_at_the_same_time(self, server: ModelService, waits: list[float]) -> None:
        server.rules.clear()
        server.say(lambda asked: {**GOOD, "title": asked.text})
        server.fail_next("503", "fenced", "dropped", "half")
        model, texts = model_on(server), [f"Slide {number}" for number in range(12)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda text: model.ask(question(text=text)), texts))
        assert [answer.value.title for answer in answers] == texts
        assert sum(len(answer.calls) for answer in answers) == len(server.requests) == 16

    def test_the_path_v1_need_not_be_said(self, server: ModelService) -> None:
        model = ChatModel(server.endpoint.removesuffix("/v1"), "llava:13b")
        assert model.ask(question()).value.title == "Team"


BAD: list[tuple[Fault, str, str]] = [
    ("invalid JSON", "no JSON", "not valid JSON"),
    ("fenced", "in a fence", "Leave them out"),
    ("wrong schema", "against the schema at title, first", "title: Field required"),
    ("truncated", "cut off", "much shorter"),
    ("empty", "empty", "was empty"),
]


class TestAskingAgain:
    @pytest.mark.parametrize(("fault", "kind", "told"), BAD)
    def test_an_answer_of_another_form_is_asked_for_once_more_and_told_why(
        self, server: ModelService, fault: Fault, kind: str, told: str
    ) -> None:
        server.fail_next(fault)
        answer = model_on(server).ask(question())
        assert answer.value.title == "Team"
        assert [call.error for call in answer.calls] == [kind, ""]
        assert all(call.tokens_in for call in answer.calls)
        _, second = server.asked
        role, words = second.said_before[-1]
        assert role == "user"
        assert told in words
        assert ('"additionalProperties":false' in words) == (fault != "truncated")

    def test_the_second_question_shows_the_answer_and_the_pictures_again(self, server: ModelService) -> None:
        server.fail_next("wrong schema")
        model_on(server).ask(question(images=(picture(),)))
        first, second = server.asked
        assert second.images == first.images
        assert second.said_before[0] == ("assistant", '{"another": 1}')

    @pytest.mark.parametrize("fault", ["truncated", "empty"])
    def test_an_answer_that_was_cut_off_or_empty_is_not_shown_again(self, server: ModelService, fault: Fault) -> None:
        server.fail_next(fault)
        model_on(server).ask(question())
        assert [role for role, _ in server.asked[1].said_before] == ["user"]

    def test_two_answers_of_another_form_are_bad_and_both_are_kept(self, server: ModelService) -> None:
        server.fail_next("wrong schema", "invalid JSON")
        with pytest.raises(BadAnswer) as caught:
            model_on(server).ask(question())
        assert caught.value.raw[0] == '{"another": 1}'
        assert caught.value.raw[1].startswith('{"title": "Team"')
        assert [call.error for call in caught.value.calls] == ["against the schema at title, first", "no JSON"]
        assert str(caught.value) == "llava:13b: answered twice not as Slide: no JSON"
        assert pickle.loads(pickle.dumps(caught.value)).raw == caught.value.raw
        assert len(server.asked) == 2

    def test_max_tokens_that_are_too_few_make_a_bad_answer(self, server: ModelService) -> None:
        with pytest.raises(BadAnswer, match="cut off"):
            model_on(server).ask(question(max_tokens=3))

    def test_names_that_a_model_made_up_are_not_told_of(self, server: ModelService) -> None:
        class Closed(BaseModel, extra="forbid"):
            title: str

        server.say('{"title": "a", "made up": 1}', schema="Closed")
        with pytest.raises(BadAnswer) as caught:
            model_on(server).ask(question(answer=Closed))
        assert "made up" not in str(caught.value)

    def test_each_answer_may_need_several_tries(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("503", "fenced", "dropped", "")
        answer = model_on(server).ask(question())
        assert [call.error for call in answer.calls] == ["HTTP 503", "in a fence", "connection failed", ""]


class TestTryingAgain:
    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            ("429", "HTTP 429"),
            ("500", "HTTP 500"),
            ("503", "HTTP 503"),
            ("dropped", "connection failed"),
            ("half", "connection failed"),
            ("page", "an answer that is none"),
            ("no choices", "an answer that is none"),
        ],
    )
    def test_what_may_pass_is_tried_again(
        self, server: ModelService, waits: list[float], fault: Fault, error: str
    ) -> None:
        server.fail_next(fault, fault)
        answer = model_on(server).ask(question())
        assert answer.value.title == "Team"
        assert [call.error for call in answer.calls] == [error, error, ""]
        assert len(waits) == 2

    def test_half_a_json_is_tried_again(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("half json")
        assert [call.error for call in model_on(server).ask(question()).calls] == ["an answer that is none", ""]

    def test_a_server_that_is_too_slow_counts_as_silent(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("slow", seconds=30)
        answer = model_on(server, call_seconds=0.2).ask(question())
        assert [call.error for call in answer.calls] == ["no answer in time", ""]

    def test_it_waits_as_long_as_the_server_asks(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("429", seconds=7)
        model_on(server).ask(question())
        assert waits == [7.0]

    def test_the_time_to_wait_for_may_be_a_date(self) -> None:
        seconds = asked_seconds({"Retry-After": formatdate(time.time() + 100, usegmt=True)})
        assert seconds == pytest.approx(100, abs=5)
        assert asked_seconds({"Retry-After": "soon"}) is None

    def test_without_being_asked_it_waits_longer_each_time(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("503", "503", "503", "503")
        model_on(server, patience=Patience(attempts=5)).ask(question())
        assert waits == sorted(waits)
        assert 0.5 <= waits[0] <= 1
        assert 4 <= waits[3] <= 4.5

    def test_tries_end_after_so_many(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("500", "503", "dropped")
        with pytest.raises(ModelUnavailable) as caught:
            model_on(server).ask(question())
        assert str(caught.value) == "llava:13b: connection failed (call 3)"
        assert [call.error for call in caught.value.calls] == ["HTTP 500", "HTTP 503", "connection failed"]

    def test_tries_end_when_the_next_would_come_too_late(self, server: ModelService, waits: list[float]) -> None:
        server.fail_next("429", seconds=3600)
        with pytest.raises(ModelUnavailable, match="HTTP 429"):
            model_on(server).ask(question())
        assert waits == []

    def test_a_server_that_comes_back_is_found_again(
        self, server: ModelService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = model_on(server)
        model.ask(question())
        server.down = True
        collect_sleeps(monkeypatch, then=lambda: vars(server).update(down=False))
        assert [call.error for call in model.ask(question()).calls] == ["HTTP 503", ""]

    def test_a_server_that_is_not_there_is_unavailable(self, waits: list[float]) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            model = ChatModel(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", "m", patience=Patience(attempts=2))
            with pytest.raises(ModelUnavailable, match="connection failed"):
                model.ask(question())


class TestRefusals:
    def test_a_key_that_does_not_fit(self, server: ModelService) -> None:
        server.key = "right"
        with pytest.raises(UserError, match="does not accept the key"):
            model_on(server).ask(question())
        assert len(server.requests) == 1

    def test_a_model_that_is_not_there(self, server: ModelService) -> None:
        with pytest.raises(UserError, match="ollama pull nobody:1b"):
            model_on(server, "nobody:1b").ask(question())
        assert len(server.requests) == 1

    def test_a_question_that_is_too_long_for_the_model(self, server: ModelService) -> None:
        server.context_tokens = 10
        with pytest.raises(UserError, match="longer than its context"):
            model_on(server).ask(question())
        assert len(server.requests) == 1

    def test_pictures_for_a_model_that_sees_none(self, server: ModelService, waits: list[float]) -> None:
        server.sees_pictures = False
        with pytest.raises(UserError, match="name a vision model"):
            model_on(server).ask(question(images=(picture(),)))
        assert waits == []

    def test_any_other_refusal_is_told_without_the_servers_words(self, server: ModelService) -> None:
        def refuse(asked: object) -> None:
            raise Refused(400, f"cannot handle: {SECRET_WORDS}")

        server.rules.clear()
        server.say(refuse)
        with pytest.raises(UserError, match=r"refuses what it is asked \(HTTP 400\)") as caught:
            model_on(server).ask(question())
        assert SECRET_WORDS not in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize("url", ["127.0.0.1:11434", "ftp://host/v1", "", "http:///v1"])
    def test_a_url_that_is_none(self, url: str) -> None:
        with pytest.raises(UserError, match="not an address of HTTP"):
            ChatModel(url, "m")

    def test_a_password_in_the_url_is_not_repeated(self) -> None:
        with pytest.raises(UserError, match="holds a password") as caught:
            ChatModel("http://me:hunter2@host/v1", "m")
        assert "hunter2" not in str(caught.value)

    def test_a_key_is_named_and_not_passed(self) -> None:
        with pytest.raises(UserError, match="not the name of a secret"):
            ChatModel("http://host/v1", "m", "sk-123")


class TestServersThatDoNotKnowSchemas:
    def test_the_schema_is_said_in_the_prompt_from_then_on(self, server: ModelService) -> None:
        server.knows_json_schema = False
        server.say(GOOD)
        model = model_on(server)
        first, second = model.ask(question()), model.ask(question())
        assert first.value == second.value == Slide.model_validate(GOOD)
        assert [call.error for call in first.calls] == ["HTTP 400", ""]
        assert [call.error for call in second.calls] == [""]
        asked = server.asked[-1]
        assert asked.body["response_format"] == {"type": "json_object"}
        assert asked.system.startswith("You read slides.\n\nAnswer with one JSON object")
        assert '"enum":["cover","team"]' in asked.system

    def test_one_form_that_a_server_does_not_understand_leaves_the_others(self, server: ModelService) -> None:
        def picky(asked: Any) -> Any:
            if asked.schema_name == "Chart":
                raise Refused(400, "failed to parse grammar")
            return {"unit": "EUR", "values": []} if asked.schema is None else None

        server.say(picky)
        model = model_on(server)
        assert model.ask(question(answer=Chart)).value == Chart(unit="EUR")
        assert [call.error for call in model.ask(question()).calls] == [""]
        assert server.asked[-1].schema_name == "Slide"

    def test_a_refusal_of_the_question_itself_does_not_change_how_others_are_asked(self, server: ModelService) -> None:
        def refuse_once(asked: Any) -> Any:
            if "too odd" in asked.text:
                raise Refused(400, "no")

        server.rules.clear()
        server.say(refuse_once)
        model = model_on(server)
        with pytest.raises(UserError):
            model.ask(question(text="too odd"))
        model.ask(question())
        assert server.asked[-1].schema_name == "Slide"


FLAVOURS: list[Flavour] = ["ollama", "llama.cpp", "vllm"]


class TestIdentity:
    @pytest.mark.parametrize("flavour", FLAVOURS)
    def test_it_is_the_name_and_a_digest_that_changes_with_the_model(self, flavour: Flavour) -> None:
        with running_model_server(flavour) as server:
            before, again = model_on(server).identity, model_on(server).identity
            server.models["llava:13b"] = "weights of llava, anew"
            after = model_on(server).identity
        assert before == again != after
        name, _, digest = before.partition("@")
        assert name == "llava:13b"
        assert len(digest) == 12

    def test_of_a_server_that_tells_no_more_it_is_the_name(self) -> None:
        with running_model_server("openai") as server:
            assert model_on(server).identity == "llava:13b"

    def test_a_server_without_a_list_tells_nothing(self) -> None:
        with running_model_server("openai") as server:
            assert ChatModel(f"{server.endpoint}/elsewhere", "llava:13b").identity == "llava:13b"

    def test_a_server_of_one_model_answers_to_any_name(self) -> None:
        with running_model_server("llama.cpp") as server:
            server.models = {"smollm2": "weights"}
            assert model_on(server, "default").identity.startswith("default@")
            assert model_on(server, "default").ask(question()).value

    def test_of_several_models_none_of_that_name_is_told(self) -> None:
        with running_model_server("vllm") as server:
            assert model_on(server, "third").identity == "third"

    def test_ollamas_default_tag_need_not_be_said(self, server: ModelService) -> None:
        server.models["moondream:latest"] = "weights"
        with_tag, without = model_on(server, "moondream:latest").identity, model_on(server, "moondream").identity
        assert with_tag.partition("@")[2] == without.partition("@")[2] != ""

    def test_a_model_that_ollama_has_not_pulled_has_none(self, server: ModelService) -> None:
        with pytest.raises(UserError, match="ollama pull nobody:1b"):
            _ = model_on(server, "nobody:1b").identity

    def test_it_is_asked_for_once(self, server: ModelService) -> None:
        model = model_on(server)
        assert model.identity == model.identity
        assert len(server.requests) == 1

    def test_without_the_server_there_is_none(self, server: ModelService, waits: list[float]) -> None:
        server.down = True
        with pytest.raises(ModelUnavailable, match="HTTP 503, asked what it is"):
            _ = model_on(server).identity


class TestReadiness:
    def test_a_model_is_ready_once_it_has_answered_a_tiny_question(self, server: ModelService) -> None:
        server.fail_next("503", "dropped")
        model = model_on(server)
        assert [model.ready() for _ in range(4)] == [False, False, True, True]
        assert len(server.requests) == 3
        assert server.asked[-1].max_tokens == 1

    def test_a_model_that_has_answered_is_not_asked_again(self, server: ModelService) -> None:
        model = model_on(server)
        model.ask(question())
        assert model.ready()
        assert len(server.requests) == 1

    def test_a_model_that_still_loads_is_not_ready(self, server: ModelService) -> None:
        server.fail_next("slow", seconds=30)
        assert not model_on(server).ready(timeout_seconds=0.2)

    def test_a_model_that_will_never_answer_says_so(self, server: ModelService) -> None:
        with pytest.raises(UserError, match="no such model"):
            model_on(server, "nobody:1b").ready()


class TestSecrecy:
    def test_the_key_is_read_by_name_and_sent_as_a_bearer_token(
        self, server: ModelService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MODEL_KEY", "s3cret\n")
        server.key = "s3cret"
        model = model_on(server, key="env:MODEL_KEY")
        assert model.identity
        assert model.ask(question()).value
        assert OllamaModels(server.endpoint, "env:MODEL_KEY").loaded() == ("llava:13b",)

    def test_keys_of_other_services_in_the_environment_are_not_sent(
        self, server: ModelService, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
        monkeypatch.setenv("OLLAMA_API_KEY", "s3cret")
        model = model_on(server)
        assert model.identity
        model.ask(question())
        assert {each.authorization for each in server.requests} == {"Bearer none"}

    def test_logs_hold_neither_questions_nor_answers_nor_keys(
        self,
        server: ModelService,
        waits: list[float],
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("MODEL_KEY", "s3cret")
        server.say({**GOOD, "note": "Answered aloud"}, schema="Slide")
        server.rules.reverse()
        server.fail_next("503", "wrong schema", "half")
        with caplog.at_level(logging.DEBUG):
            model_on(server, key="env:MODEL_KEY").ask(question(images=(picture(),)))
        assert "llava:13b: HTTP 503; trying again in" in caplog.text
        for hidden in (SECRET_WORDS, "Answered aloud", "s3cret", "base64", "another"):
            assert hidden not in caplog.text


class TestOllama:
    def test_it_tells_which_models_are_there_and_which_are_loaded(self, server: ModelService) -> None:
        ollama = OllamaModels(server.endpoint)
        assert set(ollama.present()) == {"llava:13b", "gemma3:27b"}
        assert ollama.loaded() == ()
        ollama.preload("gemma3:27b")
        assert ollama.loaded() == ("gemma3:27b",)
        assert server.loaded == {"gemma3:27b": -1}
        ollama.preload("gemma3:27b", keep_alive_seconds=90)
        assert server.loaded == {"gemma3:27b": 90}

    def test_a_model_that_is_there_is_not_pulled(self, server: ModelService) -> None:
        assert not OllamaModels(server.endpoint).pull("llava:13b")
        assert [each.path for each in server.requests] == ["/api/tags"]

    def test_a_missing_model_is_pulled_with_progress_that_never_falls(self, server: ModelService) -> None:
        server.library["moondream:latest"] = "weights"
        shares: list[float] = []
        ollama = OllamaModels(server.endpoint)
        assert ollama.pull("moondream", shares.append)
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0, 1)
        assert len(shares) > 3
        assert "moondream:latest" in ollama.present()

    def test_a_pull_that_breaks_off_is_taken_up_again(self, server: ModelService, waits: list[float]) -> None:
        server.library["moondream:latest"] = "weights"
        server.pull_faults = [1, 2]
        shares: list[float] = []
        assert OllamaModels(server.endpoint).pull("moondream", shares.append)
        assert shares == sorted(shares)
        assert len(waits) == 2

    @pytest.mark.parametrize("parts", [[{"error": "max retries exceeded: EOF"}], [{"status": "pulling manifest"}]])
    def test_a_pull_that_does_not_end_well_fails(
        self, server: ModelService, waits: list[float], parts: list[Any]
    ) -> None:
        server.pulls_end_with = parts
        with pytest.raises(ModelUnavailable, match="moondream: an answer that is none"):
            OllamaModels(server.endpoint, patience=Patience(attempts=2)).pull("moondream")

    def test_what_the_library_does_not_have_cannot_be_pulled(self, server: ModelService) -> None:
        with pytest.raises(UserError, match="there is no such model"):
            OllamaModels(server.endpoint).pull("nobody:1b")

    def test_what_is_not_there_cannot_be_loaded(self, server: ModelService) -> None:
        with pytest.raises(UserError, match="ollama pull nobody:1b"):
            OllamaModels(server.endpoint).preload("nobody:1b")

    def test_another_server_is_no_ollama(self) -> None:
        with running_model_server("vllm") as server, pytest.raises(UserError, match="it is no Ollama"):
            OllamaModels(server.endpoint).present()

    def test_an_ollama_that_is_overloaded_is_asked_again(self, server: ModelService, waits: list[float]) -> None:
        server.down = True
        with pytest.raises(ModelUnavailable, match="HTTP 503"):
            OllamaModels(server.endpoint, patience=Patience(attempts=3)).loaded()
        assert len(waits) == 2


FIELDS = st.recursive(
    st.sampled_from([str, int, float, bool, Literal["a", "b"], str | None, Annotated[int, Field(ge=1, le=5)], Chart]),
    lambda inner: inner.map(lambda kind: list[kind]) | inner.map(lambda kind: kind | None),  # type: ignore[valid-type]
    max_leaves=3,
)
FORMS = st.dictionaries(st.sampled_from(["title", "default", "type", "items", "note"]), FIELDS, min_size=1).map(
    lambda fields: pydantic.create_model("Form", **{name: (kind, ...) for name, kind in fields.items()})
)


class TestSchemas:
    def test_everything_is_required_closed_and_without_references(self) -> None:
        chart = {
            "type": "object",
            "additionalProperties": False,
            "required": ["unit", "values"],
            "properties": {
                "unit": {"type": "string"},
                "values": {"type": "array", "items": {"type": "number"}, "maxItems": 5},
            },
        }
        properties = strict_schema(Slide)["properties"]
        assert properties["charts"]["items"] == chart | {"description": "What a chart shows."} | {"title": "Chart"}
        assert properties["first"]["description"] == "The first chart"
        assert properties["note"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
        assert properties["kind"] == {"type": "string", "enum": ["cover", "team"]}
        assert strict_schema(Slide)["required"] == list(Slide.model_fields)

    @settings(max_examples=60)
    @given(FORMS)
    def test_servers_take_the_schema_of_any_form_and_its_answers_are_of_the_form(self, form: type[BaseModel]) -> None:
        schema = strict_schema(form)
        check_strict(schema, "Form")
        assert fault_of(smallest(schema), schema) == ""
        assert form.model_validate(smallest(schema))

    @pytest.mark.parametrize("kind", [dict[str, int], tuple[int, str], "Tree"])
    def test_what_not_every_server_can_hold_an_answer_to_is_refused(self, kind: Any) -> None:
        class Tree(BaseModel):
            branches: "list[Tree]"

        with pytest.raises(TypeError, match=r"not every model server|without fixed keys"):
            strict_schema(Tree if kind == "Tree" else pydantic.create_model("Form", part=(list[kind], ...)))
