"""The model server that other tests ask: it refuses what real ones refuse, and errs as it is told to."""

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.model_server import running_model_server
from tests.model_service import Fault, ModelService
from tests.model_shapes import smallest

ROOT = Path(__file__).parents[2]
CHAT = "/v1/chat/completions"
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "page": {"type": "integer", "minimum": 1}},
    "required": ["title", "page"],
    "additionalProperties": False,
}


@pytest.fixture
def server() -> Iterator[ModelService]:
    with running_model_server() as server:
        yield server


def call(server: ModelService, path: str, body: Any = None, **options: Any) -> httpx.Response:
    """Ask over plain HTTP, as no client of ours does."""
    url = server.endpoint.removesuffix("/v1") + path
    return httpx.request("GET" if body is None else "POST", url, json=body, trust_env=False, verify=False, **options)


def body(content: Any = "Which slide?", schema: Any = SCHEMA, **changes: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "Slide", "schema": schema, "strict": True}}
    messages = [{"role": "system", "content": "You read."}, {"role": "user", "content": content}]
    asked = {"model": "llava:13b", "messages": messages, "response_format": form, **changes}
    return {name: value for name, value in asked.items() if value is not None}


def picture(kind: str = "PNG", says: str = "png") -> dict[str, Any]:
    content = io.BytesIO()
    Image.new("RGB", (2, 2)).save(content, kind)
    url = f"data:image/{says};base64,{base64.b64encode(content.getvalue()).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def said(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


class TestAnswers:
    def test_unscripted_it_gives_the_smallest_answer_of_the_schema(self, server: ModelService) -> None:
        assert json.loads(said(call(server, CHAT, body()))) == {"title": "", "page": 1}
        assert said(call(server, CHAT, body(response_format=None))) == "OK."

    def test_the_first_rule_that_matches_and_says_something_counts(self, server: ModelService) -> None:
        server.say(lambda asked: None)
        server.say({"title": "by text", "page": 2}, text="Which")
        server.say(lambda asked: {"title": asked.text, "page": 3}, schema="Slide")
        server.say("by system", system="read")
        assert json.loads(said(call(server, CHAT, body())))["title"] == "by text"
        assert json.loads(said(call(server, CHAT, body("Another"))))["title"] == "Another"
        assert said(call(server, CHAT, body("Another", response_format=None))) == "by system"

    def test_a_rule_may_be_about_a_picture(self, server: ModelService) -> None:
        shown = picture()
        image = base64.b64decode(shown["image_url"]["url"].partition(",")[2])
        server.say({"title": "seen", "page": 1}, image=image)
        assert json.loads(said(call(server, CHAT, body([shown, {"type": "text", "text": "?"}]))))["title"] == "seen"
        assert json.loads(said(call(server, CHAT, body())))["title"] == ""

    def test_a_script_whose_answer_breaks_the_schema_is_told_of_at_the_end(self) -> None:
        running = running_model_server()
        server = running.__enter__()
        server.say({"title": "no page"})
        assert call(server, CHAT, body()).status_code == 418
        with pytest.raises(AssertionError, match="does not follow the schema"):
            running.__exit__(None, None, None)

    def test_an_answer_longer_than_max_tokens_is_cut_off(self, server: ModelService) -> None:
        server.say("x" * 100)
        answer = call(server, CHAT, body(max_tokens=5)).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["choices"][0]["message"]["content"] == "x" * 20
        assert answer["usage"]["completion_tokens"] == 5

    @pytest.mark.parametrize(
        ("schema", "value"),
        [
            ({"type": "array", "items": {"const": 7}, "minItems": 2}, [7, 7]),
            ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
            ({"enum": ["b", "a"]}, "b"),
            ({"type": "string", "minLength": 3}, "xxx"),
            ({"type": "string", "format": "date"}, "2024-01-31"),
            ({"type": "number", "exclusiveMinimum": 2}, 3),
            ({"type": "boolean"}, False),
        ],
    )
    def test_smallest_answers(self, schema: dict[str, Any], value: Any) -> None:
        assert smallest(schema) == value


class TestRefusals:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"mesages": []}, "Unrecognized request argument supplied: mesages"),
            ({"stream": True}, "streams"),
            ({"temperature": 3}, "temperature"),
            ({"seed": "0"}, "seed"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"messages": []}, "messages is empty"),
            ({"messages": [{"role": "system", "content": "?"}]}, "nobody asks"),
            ({"messages": [{"role": "robot", "content": "?"}]}, "'robot' is not one of"),
            ({"messages": [{"role": "user", "content": None}]}, "neither text nor parts"),
            ({"messages": [{"role": "system", "content": [picture()]}]}, "only users show pictures"),
            ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "neither text nor image_url"),
            ({"response_format": {"type": "yaml"}}, "response_format"),
        ],
    )
    def test_a_malformed_question(self, server: ModelService, wrong: dict[str, Any], message: str) -> None:
        answer = call(server, CHAT, body(**wrong))
        assert answer.status_code == 400
        assert message in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        "image",
        [
            {"type": "image_url", "image_url": {"url": "http://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,!!!!"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            picture("JPEG", says="png"),
        ],
    )
    def test_a_picture_that_is_none(self, server: ModelService, image: dict[str, Any]) -> None:
        answer = call(server, CHAT, body([image]))
        assert answer.status_code == 400
        assert "image" in answer.json()["error"]["message"]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"additionalProperties": True},
            {"required": ["title"]},
            {"properties": {"title": {"type": "string", "default": ""}, "page": {"type": "integer"}}},
            {"properties": {"title": {"type": "text"}, "page": {"type": "integer"}}},
            {"properties": {"title": {"type": "object"}, "page": {"type": "integer"}}},
        ],
    )
    def test_a_schema_that_is_none_or_not_strict(self, server: ModelService, wrong: dict[str, Any]) -> None:
        assert call(server, CHAT, body(schema={**SCHEMA, **wrong})).status_code == 400

    def test_what_is_not_there(self, server: ModelService) -> None:
        assert call(server, CHAT, body(model="gpt-9")).status_code == 404
        assert call(server, "/v1/embeddings", {}).status_code == 404

    def test_who_does_not_bear_the_key(self, server: ModelService) -> None:
        server.key = "right"
        assert call(server, CHAT, body()).status_code == 401
        assert call(server, CHAT, body(), headers={"Authorization": "Bearer right"}).status_code == 200

    def test_no_json_at_all(self, server: ModelService) -> None:
        url = server.endpoint + "/chat/completions"
        assert httpx.post(url, content=b"{", trust_env=False, verify=False).status_code == 400


class TestFaults:
    @pytest.mark.parametrize("status", ["429", "500", "503"])
    def test_statuses(self, server: ModelService, status: Fault) -> None:
        server.fail_next(status, seconds=4)
        answer = call(server, CHAT, body())
        assert answer.status_code == int(status)
        assert answer.headers.get("Retry-After") == ("4" if status == "429" else None)
        assert call(server, CHAT, body()).status_code == 200

    @pytest.mark.parametrize("fault", ["dropped", "half"])
    def test_connections_that_break(self, server: ModelService, fault: Fault) -> None:
        server.fail_next(fault)
        with pytest.raises(httpx.RemoteProtocolError):
            call(server, CHAT, body())

    def test_slowness(self, server: ModelService) -> None:
        server.fail_next("slow", seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            call(server, CHAT, body(), timeout=0.1)

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            ("invalid JSON", '{"title": "", "page": 1,'),
            ("fenced", '```json\n{"title": "", "page": 1}\n```'),
            ("wrong schema", '{"another": 1}'),
            ("truncated", '{"title": ""'),
            ("empty", ""),
        ],
    )
    def test_answers_of_another_form(self, server: ModelService, fault: Fault, text: str) -> None:
        server.fail_next(fault)
        answer = call(server, CHAT, body())
        assert said(answer) == text
        assert answer.json()["choices"][0]["finish_reason"] == ("length" if fault == "truncated" else "stop")

    def test_faults_come_in_their_order_and_only_to_whom_they_are_about(self, server: ModelService) -> None:
        server.fail_next("500", "", "503", about="Which slide")
        statuses = [call(server, CHAT, body(content)).status_code for content in ("Else", *["Which slide?"] * 4)]
        assert statuses == [200, 500, 200, 503, 200]


class TestOllamasRoutes:
    def test_models_are_loaded_when_asked_and_let_go_of(self, server: ModelService) -> None:
        call(server, CHAT, body())
        (running,) = call(server, "/api/ps").json()["models"]
        assert running["name"] == "llava:13b"
        done = call(server, "/api/generate", {"model": "llava:13b", "keep_alive": 0}).json()
        assert (done["done"], done["done_reason"]) == (True, "unload")
        assert call(server, "/api/ps").json() == {"models": []}

    def test_a_model_is_shown(self, server: ModelService) -> None:
        assert call(server, "/api/show", {"model": "llava:13b"}).json()["capabilities"] == ["completion", "vision"]
        assert call(server, "/api/show", {"model": "gpt-9"}).json() == {"error": "model 'gpt-9' not found"}

    def test_a_pull_tells_of_each_layer_and_ends_with_success(self, server: ModelService) -> None:
        server.library["moondream:latest"] = "weights"
        lines = [json.loads(line) for line in call(server, "/api/pull", {"model": "moondream"}).text.splitlines()]
        assert lines[0] == {"status": "pulling manifest"}
        assert lines[-1] == {"status": "success"}
        assert {line["digest"] for line in lines if "digest" in line} == {"sha256:0", "sha256:1", "sha256:2"}

    def test_other_servers_have_none_of_them(self) -> None:
        with running_model_server("vllm") as server:
            assert call(server, "/api/tags").status_code == 404


def test_what_was_asked_is_kept_and_each_server_begins_anew(server: ModelService) -> None:
    call(server, CHAT, body([picture(), {"type": "text", "text": "What is it?"}]))
    (asked,) = server.asked
    assert (asked.system, asked.text, asked.schema_name, asked.is_repeated) == (
        "You read.",
        "What is it?",
        "Slide",
        False,
    )
    assert len(asked.images) == 1
    with running_model_server() as another:
        assert another.requests == []


def scripted(service: ModelService) -> None:
    """Script a server that runs as a process of its own."""
    service.say({"title": "scripted", "page": 9})


def test_it_runs_as_a_process_and_is_scripted_by_a_function() -> None:
    command = [sys.executable, "-m", "tests.model_server", "--script", "tests.unit.test_model_server:scripted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = httpx.post(f"{url}/chat/completions", json=body(), trust_env=False, verify=False)
        process.terminate()
    assert json.loads(said(answer)) == {"title": "scripted", "page": 9}
