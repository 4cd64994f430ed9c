"""The Kubeflow Pipelines that other tests submit to: it refuses and plays runs as the real one does."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pagemill.cloud.spec import read_documents
from tests.kfp_nodes import Player, Script, node_id
from tests.kfp_server import running_kfp
from tests.kfp_service import Kfp
from tests.kfp_shapes import Refused, check_cron, check_message

ROOT = Path(__file__).parents[2]


def task(component: str, *after: str, **parts: Any) -> dict[str, Any]:
    return {
        "componentRef": {"name": component},
        "taskInfo": {"name": component},
        "dependentTasks": list(after),
        **parts,
    }


SPEC: dict[str, Any] = {  # plan, then read in a loop, then gather; report in any case
    "pipelineInfo": {"name": "small"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
    "root": {
        "dag": {
            "tasks": {
                "all": task("comp-all"),
                "report": task("comp-leaf", "all", triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}),
            }
        },
        "inputDefinitions": {
            "parameters": {
                "source": {"parameterType": "STRING"},
                "pages": {"parameterType": "NUMBER_INTEGER", "isOptional": True},
            }
        },
    },
    "components": {
        "comp-all": {
            "dag": {
                "tasks": {
                    "gather": task("comp-leaf", "loop"),
                    "loop": task("comp-loop", "plan", parameterIterator={"itemInput": "item", "items": {"raw": "[]"}}),
                    "plan": task("comp-leaf", cachingOptions={"enableCache": True}),
                }
            }
        },
        "comp-loop": {"dag": {"tasks": {"read": task("comp-leaf", retryPolicy={"maxRetryCount": 2})}}},
        "comp-leaf": {"executorLabel": "exec-leaf"},
    },
    "deploymentSpec": {"executors": {"exec-leaf": {"container": {"image": "python:3.11"}}}},
}


@pytest.fixture(scope="module")
def service() -> Iterator[Kfp]:
    with running_kfp() as service:
        yield service


@pytest.fixture
def kfp(service: Kfp) -> Kfp:
    endpoint = service.endpoint
    vars(service).update(vars(Kfp()), endpoint=endpoint)
    return service


def ask(kfp: Kfp, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Make a plain request; return the status and what was answered."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{kfp.endpoint}/apis/v2beta1/{path}", content, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)["message"]


@pytest.fixture
def order(kfp: Kfp) -> dict[str, Any]:
    """What a run can be asked for with."""
    experiment = ask(kfp, "POST", "experiments", {"display_name": "books"})[1]["experiment_id"]
    return {
        "display_name": "one",
        "experiment_id": experiment,
        "pipeline_spec": SPEC,
        "runtime_config": {"parameters": {"source": "gs://b"}},
    }


def play(*, retries: int = 0, **script: Any) -> Player:
    """Play the small pipeline to its end."""
    player = Player("small-1", SPEC, Script(**script))
    player.advance(1000)
    for _ in range(retries):
        player.retry()
        player.advance(1000)
    return player


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": {"team": "books"}}, 'unknown field "labels" in body'),
            ({"display_name": 7}, "body.display_name: not of type str"),
            ({"display_name": ""}, "The run name is empty"),
            ({"runtime_config": {"parameters": {}}}, "parameter source is not optional"),
            ({"runtime_config": {"parameters": {"source": 1}}}, "source requires type STRING"),
            ({"runtime_config": {"parameters": {"source": "s", "pages": 1.5}}}, "pages requires type NUMBER_INTEGER"),
            ({"runtime_config": {"parameters": {"source": "s", "sauce": 1}}}, "not required by pipeline: sauce"),
            ({"runtime_config": {"root": "gs://b"}}, 'unknown field "root" in body.runtime_config'),
            ({"pipeline_spec": {}}, "the pipeline spec is empty"),
            ({"pipeline_spec": SPEC | {"rooot": {}}}, 'invalid PipelineSpec: .*no field named "rooot"'),
            ({"pipeline_spec": SPEC | {"components": {}}}, "component spec for .* not found"),
            ({"experiment_id": "elsewhere"}, "Experiment elsewhere not found"),
            ({"state": "RUNNING"}, "state is set by the server"),
            ({"state": "BUSY"}, "body.state: not of type V2beta1RuntimeState"),
            ({"scheduled_at": "2026-01-01T00:00:00"}, "body.scheduled_at: not of type datetime"),
        ],
    )
    def test_a_faulty_run_is_refused(
        self, kfp: Kfp, order: dict[str, Any], change: dict[str, Any], message: str
    ) -> None:
        status, said = ask(kfp, "POST", "runs", order | change)
        assert status in (400, 404)
        assert re.search(message, said)
        assert kfp.runs == {}

    @pytest.mark.parametrize(
        ("platform", "message"),
        [
            ({"platforms": {"nomad": {}}}, "unknown platform nomad"),
            ({"platform": {}}, "invalid PlatformSpec"),
            (
                {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-leaf": {"gpu": 1}}}}}},
                "invalid Kubernetes config",
            ),
        ],
    )
    def test_a_faulty_platform_spec_is_refused(
        self, kfp: Kfp, order: dict[str, Any], platform: dict[str, Any], message: str
    ) -> None:
        both = {"pipeline_spec": SPEC, "platform_spec": platform}
        status, said = ask(kfp, "POST", "runs", order | {"pipeline_spec": both})
        assert (status, message in said) == (400, True)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"max_concurrency": "11"}, "at most 10"),
            ({"max_concurrency": "many"}, "not of type int64"),
            ({"no_catchup": "yes"}, "not of type bool"),
            ({"trigger": {}}, "needs one trigger"),
            ({"trigger": {"cron_schedule": {"cron": "0 3 * *"}}}, "Expected 5 to 6 fields, found 4"),
            ({"mode": "ON"}, "not of type RecurringRunMode"),
        ],
    )
    def test_a_faulty_schedule_is_refused(
        self, kfp: Kfp, order: dict[str, Any], change: dict[str, Any], message: str
    ) -> None:
        good = {"max_concurrency": "1", "mode": "ENABLE", "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}}}
        assert ask(kfp, "POST", "recurringruns", order | good)[0] == 200
        status, said = ask(kfp, "POST", "recurringruns", order | good | change)
        assert (status, message in said) == (400, True)

    @pytest.mark.parametrize(
        "cron", ["0 0 3 * * 7", "0 60 * * * *", "TZ=UTC 0 0 3 * * *", "0 0 3 5-2 * *", "0 */0 * * * *"]
    )
    def test_a_cron_that_the_service_cannot_read(self, cron: str) -> None:
        with pytest.raises(Refused, match="not a supported format"):
            check_cron(cron)

    @pytest.mark.parametrize("cron", ["0 0 3 * * *", "0 3 * * *", "*/5 0-30/10 1,2 ? JAN MON-FRI"])
    def test_a_cron_that_it_can(self, cron: str) -> None:
        check_cron(cron)

    def test_a_name_of_an_experiment_is_taken_once(self, kfp: Kfp) -> None:
        assert ask(kfp, "POST", "experiments", {"display_name": "books"})[0] == 200
        assert ask(kfp, "POST", "experiments", {"display_name": "books"})[0] == 409
        assert ask(kfp, "POST", "experiments", {"display_name": "films", "namespace": "theirs"})[0] == 403

    def test_only_who_bears_the_token_is_let_in(self, kfp: Kfp) -> None:
        kfp.token = "good"
        assert ask(kfp, "GET", "runs")[0] == 401
        assert ask(kfp, "GET", "runs", Authorization="Bearer good") == (200, {})

    def test_lists_know_their_parameters(self, kfp: Kfp) -> None:
        assert ask(kfp, "GET", "runs?sort_by=created_at%20desc") == (200, {})
        assert ask(kfp, "GET", "runs?sort_by=name")[0] == 400
        assert ask(kfp, "GET", "runs?limit=3")[0] == 400
        assert ask(kfp, "GET", "elsewhere")[0] == 404

    def test_all_kinds_of_fields_are_checked(self) -> None:
        check_message({"predicates": [{"operation": "EQUALS", "key": "k", "string_value": "v"}]}, "V2beta1Filter")
        with pytest.raises(Refused, match=r"predicates\[0\]\.key"):
            check_message({"predicates": [{"key": 1}]}, "V2beta1Filter")


class TestStates:
    def test_a_run_goes_on_each_time_it_is_looked_at(self, kfp: Kfp, order: dict[str, Any]) -> None:
        run_id = ask(kfp, "POST", "runs", order)[1]["run_id"]
        seen = [ask(kfp, "GET", f"runs/{run_id}")[1] for _ in range(7)]
        assert [each["state"] for each in seen] == ["PENDING", *["RUNNING"] * 5, "SUCCEEDED"]
        assert "run_details" not in seen[0]
        assert [each["state"] for each in seen[-1]["state_history"]] == ["PENDING", "RUNNING", "SUCCEEDED"]
        assert seen[1]["finished_at"] == "1970-01-01T00:00:00Z" < seen[-1]["finished_at"]
        assert {each["end_time"] for each in seen[1]["run_details"]["task_details"]} >= {"0001-01-01T00:00:00Z"}

    def test_what_is_told_is_of_the_published_types(self, kfp: Kfp, order: dict[str, Any]) -> None:
        run_id = ask(kfp, "POST", "runs", order)[1]["run_id"]
        kfp.finish(run_id)
        check_message(ask(kfp, "GET", f"runs/{run_id}")[1], "V2beta1Run")
        check_message(ask(kfp, "GET", "runs")[1], "V2beta1ListRunsResponse")
        check_message(ask(kfp, "GET", "experiments")[1], "V2beta1ListExperimentsResponse")
        check_message(ask(kfp, "GET", "healthz")[1], "V2beta1GetHealthzResponse")

    def test_one_that_is_terminated_ends_as_failed(self, kfp: Kfp, order: dict[str, Any]) -> None:
        run_id = ask(kfp, "POST", "runs", order)[1]["run_id"]
        ask(kfp, "GET", f"runs/{run_id}")
        assert ask(kfp, "POST", f"runs/{run_id}:terminate") == (200, {})
        assert [ask(kfp, "GET", f"runs/{run_id}")[1]["state"] for _ in range(3)] == ["CANCELING", "FAILED", "FAILED"]
        assert ask(kfp, "POST", f"runs/{run_id}:terminate")[0] == 400

    def test_only_one_that_failed_is_retried(self, kfp: Kfp, order: dict[str, Any]) -> None:
        kfp.script(failures=["plan"])
        run_id = ask(kfp, "POST", "runs", order)[1]["run_id"]
        assert ask(kfp, "POST", f"runs/{run_id}:retry")[0] == 400
        kfp.finish(run_id)
        assert ask(kfp, "POST", f"runs/{run_id}:retry") == (200, {})
        kfp.finish(run_id)
        assert kfp.runs[run_id]["state"] == "SUCCEEDED"

    def test_a_schedule_starts_runs_while_it_is_enabled(self, kfp: Kfp, order: dict[str, Any]) -> None:
        body = order | {"max_concurrency": "1", "mode": "ENABLE", "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}}}
        each = ask(kfp, "POST", "recurringruns", body)[1]["recurring_run_id"]
        assert kfp.start_scheduled(each)["recurring_run_id"] == each
        ask(kfp, "POST", f"recurringruns/{each}:disable")
        with pytest.raises(Refused, match="disabled"):
            kfp.start_scheduled(each)
        assert ask(kfp, "DELETE", f"recurringruns/{each}") == (200, {})
        assert ask(kfp, "GET", f"recurringruns/{each}")[0] == 404

    def test_faults_meet_what_they_are_for(self, kfp: Kfp) -> None:
        kfp.fail_next(503, method="POST", path="/experiments", done_first=True)
        assert ask(kfp, "GET", "experiments") == (200, {})
        assert ask(kfp, "POST", "experiments", {"display_name": "books"}) == (503, "injected")
        assert len(ask(kfp, "GET", "experiments")[1]["experiments"]) == 1
        assert kfp.count("POST", "/experiments") == 1


class TestAnyClient:
    @pytest.mark.filterwarnings("ignore::FutureWarning")
    def test_kfp_runs_a_package_and_waits_for_it(
        self, kfp: Kfp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from kfp.client import Client

        package = tmp_path / "small.yaml"
        package.write_text(json.dumps(SPEC))
        client = Client(host=kfp.endpoint)
        made = [
            client.create_run_from_pipeline_package(str(package), {"source": "s"}, "one", "books") for _ in range(2)
        ]
        kfp.finish(made[0].run_id)
        assert client.wait_for_run_completion(made[0].run_id, timeout=10, sleep_duration=0).state == "SUCCEEDED"
        assert len(kfp.experiments) == 1
        assert f"Run details: {kfp.endpoint}/#/runs/details/{made[0].run_id}" in capsys.readouterr().out


class TestPlays:
    def test_containers_run_in_order_and_the_report_comes_last(self) -> None:
        player = play()
        told = [("plan", None), ("read", 0), ("read", 1), ("gather", None), ("report", None)]
        assert player.executed == [(name, index, "SUCCEEDED") for name, index in told]
        assert player.state == "SUCCEEDED"

    def test_a_failure_keeps_from_running_what_depends_on_it(self) -> None:
        player = play(failures=["read#0"])
        assert [each[:2] for each in player.executed] == [("plan", None), ("read", 0), ("read", 1), ("report", None)]
        omitted = [node.display_name for node in player.nodes if node.state == "RUNTIME_STATE_UNSPECIFIED"]
        assert (player.state, omitted) == ("FAILED", ["gather-driver", "gather"])

    def test_a_retry_runs_what_failed_and_what_waits_for_it(self) -> None:
        player = play(failures=["read#0"], retries=1)
        assert [each[:2] for each in player.executed][4:] == [("read", 0), ("gather", None)]
        assert player.state == "SUCCEEDED"

    def test_cached_tasks_take_no_time_and_only_where_they_may(self) -> None:
        player = play(cached=["plan", "gather"])
        assert "plan" not in [name for name, _, _ in player.executed]
        assert "gather" in [name for name, _, _ in player.executed]
        assert [(node.state, node.end) for node in player.nodes if node.path.endswith(".plan.executor")] == [
            ("SKIPPED", 0)
        ]

    def test_a_condition_that_does_not_hold_skips_what_is_in_it(self) -> None:
        player = play(untriggered=["all"])
        assert [name for name, _, _ in player.executed] == ["report"]
        assert player.state == "SUCCEEDED"

    def test_children_are_nodes(self) -> None:
        player = play(iterations=3)
        paths = {node.path for node in player.nodes}
        children = [child for node in player.nodes for child in node.children]
        assert set(children) == paths - {"small-1"}

    def test_an_id_is_made_as_argo_makes_it(self) -> None:
        workflow = "coinflip-recursive-q7dqb"
        assert node_id(workflow, workflow) == workflow
        assert node_id(workflow, f"{workflow}[0].flip-coin") == f"{workflow}-311338607"
        assert node_id(workflow, f"{workflow}[1].tails[1].heads") == f"{workflow}-3721646052"


def test_the_compiled_pipelines_are_good() -> None:
    from tests.kfp_shapes import pipeline_of

    for path in sorted((ROOT / "compiled" / "kfp").glob("*.yaml")):
        spec, *platform = read_documents(path)
        told = {"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec
        assert pipeline_of(told) == spec
