"""What is looked up before a run: all well, each thing that may be wrong, and what cannot be seen."""

import contextlib
import dataclasses
import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import google.auth
import google.auth.exceptions
import pytest
from rich.console import Console

from pagemill import __version__
from pagemill.cloud.findings import Finding, Verdict
from pagemill.cloud.prerequisites import check_prerequisites, findings_table, print_findings
from pagemill.presets import PRESETS, Preset
from pagemill.settings import Settings
from tests.google_cloud import ACCOUNT, DIGEST, NUMBER, PROJECT, GoogleCloud, Secret, binding
from tests.google_server import google_server

VALUE = "hunter2-and-some-more"
SECRET = f"projects/{PROJECT}/secrets/hf-token"
REGISTRY = f"us-central1-docker.pkg.dev/{PROJECT}/pagemill"
IMAGES = {f"{REGISTRY}/{name}:{__version__}" for name in ("pipeline", "nougat")}
PUBLIC = {f"ghcr.io/pagemill/{name}:{__version__}" for name in ("pipeline", "nougat")}
PARAMETERS = {"publish": "hf://tester/books", "store": "gs://books/store", "max_shards": 100}
PRESET = PRESETS["vertex-a100-40"]
DEFAULT_ACCOUNT = f"{NUMBER}-compute@developer.gserviceaccount.com"

Change = Callable[[GoogleCloud], Any]


@contextlib.contextmanager
def ready_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    """Serve a project in which everything is ready for a run."""
    with google_server() as cloud:
        cloud.images = IMAGES | PUBLIC
        cloud.secrets[SECRET] = Secret([(VALUE.encode(), "ENABLED")])
        monkeypatch.setenv("PAGEMILL_GOOGLE_APIS", cloud.address)
        monkeypatch.setenv("HF_TOKEN", VALUE)
        monkeypatch.setattr("pagemill.cloud.prerequisites.ATTEMPTS", 1)
        yield cloud


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    with ready_cloud(monkeypatch) as cloud:
        yield cloud


def settings(**changes: Any) -> Settings:
    vertex = {"project": PROJECT, "service_account": ACCOUNT} | changes.pop("vertex", {})
    images = {"registry": REGISTRY} | changes.pop("images", {})
    given = {"bucket": "gs://books", "hf_token": f"secret:{SECRET}", "vertex": vertex, "images": images}
    return Settings(**given | changes)


def kfp_settings(cloud: GoogleCloud, **changes: Any) -> Settings:
    kfp = {"host": f"{cloud.address}/kfp"} | changes.pop("kfp", {})
    return settings(to="kfp", kfp=kfp, **{"hf_token": "env:HF_TOKEN", **changes})


def found(preset: Preset = PRESET, **changes: Any) -> list[Finding]:
    """Return the findings on a run on Vertex AI, those that are well left out."""
    parameters = PARAMETERS | changes.pop("parameters", {})
    ocr = changes.pop("ocr", "worker")
    findings = check_prerequisites(settings(**changes), preset, parameters, ocr=ocr)
    return [each for each in findings if each.verdict is not Verdict.OK]


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, "\n".join(map(str, findings))
    return findings[0]


def change(**fields: Any) -> Change:
    """Return what sets fields of the cloud."""
    return lambda cloud: [setattr(cloud, name, value) for name, value in fields.items()]


def revoke(permission: str) -> Change:
    return lambda cloud: cloud.caller_may.discard(permission)


def secret_with(**fields: Any) -> Change:
    return lambda cloud: [setattr(cloud.secrets[SECRET], name, value) for name, value in fields.items()]


NO_BASIC = [binding("roles/viewer")]
WRONG: dict[str, tuple[Change, str, str, str]] = {  # change, subject, reason, mend
    "a project that is being deleted": (
        change(project_state="DELETE_REQUESTED"),
        f"project {PROJECT}",
        "is DELETE_REQUESTED",
        "gcloud projects undelete",
    ),
    "a caller who may not start runs": (
        revoke("aiplatform.pipelineJobs.create"),
        f"project {PROJECT}",
        "may not start runs (aiplatform.pipelineJobs.create)",
        "--role roles/aiplatform.user",
    ),
    "an API that is not enabled": (
        change(disabled_apis={"aiplatform"}),
        "APIs",
        "not enabled: aiplatform.googleapis.com",
        f"gcloud services enable aiplatform.googleapis.com --project {PROJECT}",
    ),
    "no quota": (
        lambda cloud: cloud.quotas.update(CustomModelTrainingPreemptibleA100GPUsPerProjectPerRegion=0),
        "quota for nvidia-tesla-a100 in us-central1",
        "0, but 8 at a time are wanted (CustomModelTrainingPreemptibleA100GPUsPerProjectPerRegion)",
        "or choose another region or preset",
    ),
    "too little quota": (
        lambda cloud: cloud.quotas.update(CustomModelTrainingPreemptibleA100GPUsPerProjectPerRegion=3),
        "quota for nvidia-tesla-a100 in us-central1",
        "3, but 8 at a time are wanted",
        "or give max_shards=3",
    ),
    "no bucket": (
        change(buckets={}),
        "bucket gs://books",
        "is not there",
        "gcloud storage buckets create gs://books --location us-central1",
    ),
    "a bucket far away": (
        change(buckets={"books": {"location": "EUROPE-WEST4", "locationType": "region"}}),
        "bucket gs://books",
        "is in EUROPE-WEST4, but runs are in us-central1",
        "take a bucket of that region",
    ),
    "a bucket that the caller may not write to": (
        revoke("storage.objects.create"),
        "bucket gs://books",
        "this account may not write to it (storage.objects.create)",
        "gcloud storage buckets add-iam-policy-binding gs://books --role roles/storage.objectUser",
    ),
    "a bucket that tasks may not write to": (
        change(bucket_bindings=[]),
        "bucket gs://books, tasks",
        f"{ACCOUNT} lacks roles/storage.objectUser",
        f"--member serviceAccount:{ACCOUNT}",
    ),
    "an image that is not there": (
        lambda cloud: cloud.images.discard(f"{REGISTRY}/nougat:{__version__}"),
        f"image {REGISTRY}/nougat:{__version__}",
        "is not in the registry",
        "build and push it",
    ),
    "no service account": (
        change(accounts={}),
        f"service account {ACCOUNT}",
        "is not there",
        "gcloud iam service-accounts create pagemill-runs",
    ),
    "a disabled service account": (
        change(accounts={ACCOUNT: {"disabled": True}}),
        f"service account {ACCOUNT}",
        "is disabled",
        "gcloud iam service-accounts enable",
    ),
    "a service account that the caller may not use": (
        revoke("iam.serviceAccounts.actAs"),
        f"service account {ACCOUNT}",
        "this account may not use it (iam.serviceAccounts.actAs)",
        "--role roles/iam.serviceAccountUser",
    ),
    "a service account that may not run tasks": (
        change(project_bindings=NO_BASIC),
        f"service account {ACCOUNT}, tasks",
        f"{ACCOUNT} lacks roles/aiplatform.user",
        f"gcloud projects add-iam-policy-binding {PROJECT}",
    ),
    "a service account whose tasks may not start jobs as itself": (
        change(account_bindings=[]),
        f"service account {ACCOUNT}, jobs of tasks",
        f"{ACCOUNT} lacks roles/iam.serviceAccountUser",
        f"--member serviceAccount:{ACCOUNT} --role roles/iam.serviceAccountUser",
    ),
    "no secret": (
        change(secrets={}),
        f"secret {SECRET}",
        "is not there, or has no such version",
        "gcloud secrets create hf-token",
    ),
    "a secret without a version": (
        secret_with(versions=[]),
        f"secret {SECRET}",
        "has no such version",
        "gcloud secrets versions add hf-token",
    ),
    "a disabled secret": (
        secret_with(versions=[(VALUE.encode(), "DISABLED")]),
        f"secret {SECRET}",
        "its version is disabled",
        "gcloud secrets versions add hf-token",
    ),
    "a secret that tasks may not read": (
        secret_with(bindings=[]),
        f"secret {SECRET}, tasks",
        f"{ACCOUNT} lacks roles/secretmanager.secretAccessor",
        "gcloud secrets add-iam-policy-binding hf-token",
    ),
}

UNSEEN: dict[str, tuple[Change, str, str]] = {  # change, subject, reason
    "the project": (
        change(caller_may_not_see={f"GET cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"}),
        f"project {PROJECT}",
        "is not there, or this account may not see it",
    ),
    "the APIs": (change(caller_may_not_see={"services:batchGet"}), "APIs", "this account may not look"),
    "the quota": (change(caller_may_not_see={"quotaInfos"}), "quota", "this account may not look"),
    "the quota without its API": (
        change(disabled_apis={"cloudquotas"}),
        "quota",
        "cannot be looked up, cloudquotas.googleapis.com is not enabled",
    ),
    "the quota in an outage": (
        change(failures=[("quotaInfos", 503)]),
        "quota",
        "cannot be looked up (UNAVAILABLE)",
    ),
    "the bucket": (change(caller_may_not_see={"GET storage"}), "bucket gs://books", "this account may not look"),
    "the bucket's policy": (
        change(caller_may_not_see={"/b/books/iam"}, bucket_bindings=[]),
        "buckets",
        "this account may not look",
    ),
    "the images": (
        change(caller_may_not_see={"/manifests/"}),
        f"image {REGISTRY}/pipeline:{__version__}",
        "this account may not look (roles/artifactregistry.reader)",
    ),
    "the service account": (
        change(caller_may_not_see={"GET iam"}),
        f"service account {ACCOUNT}",
        "this account may not look",
    ),
    "the project's policy": (
        change(caller_may_not_see={f"{PROJECT}:getIamPolicy"}, project_bindings=[]),
        f"service account {ACCOUNT}, tasks",
        "cannot be seen by this account",
    ),
    "the service account's policy": (
        change(caller_may_not_see={f"{ACCOUNT}:getIamPolicy"}, account_bindings=[]),
        f"service account {ACCOUNT}, jobs of tasks",
        "cannot be seen by this account",
    ),
    "the secret": (change(caller_may_not_see={"GET secretmanager"}), f"secret {SECRET}", "this account may not look"),
    "roles of a group": (
        change(project_bindings=[binding("roles/aiplatform.user", "group:runners@books.org")]),
        f"service account {ACCOUNT}, tasks",
        "cannot be seen by this account",
    ),
    "roles of one's own making": (
        change(project_bindings=[binding(f"projects/{PROJECT}/roles/runner")]),
        f"service account {ACCOUNT}, tasks",
        "cannot be seen by this account",
    ),
    "roles under a condition": (
        change(project_bindings=[binding("roles/aiplatform.user", condition={"expression": "true"})]),
        f"service account {ACCOUNT}, tasks",
        "cannot be seen by this account",
    ),
}


class TestVertex:
    def test_all_is_well(self, cloud: GoogleCloud) -> None:
        findings = check_prerequisites(settings(), PRESET, PARAMETERS)
        assert {each.verdict for each in findings} == {Verdict.OK}
        assert [each.subject for each in findings] == [
            f"project {PROJECT}",
            "APIs",
            "quota for nvidia-tesla-a100 in us-central1",
            "bucket gs://books",
            "bucket gs://books",
            "bucket gs://books, tasks",
            *(f"image {REGISTRY}/{name}:{__version__}" for name in ("pipeline", "nougat")),
            f"service account {ACCOUNT}",
            f"service account {ACCOUNT}, tasks",
            f"service account {ACCOUNT}, jobs of tasks",
            f"secret {SECRET}",
            f"secret {SECRET}, tasks",
        ]

    @pytest.mark.parametrize("case", WRONG)
    def test_it_stops_at(self, cloud: GoogleCloud, case: str) -> None:
        alter, subject, reason, mend = WRONG[case]
        alter(cloud)
        finding = only(found())
        assert finding.failed
        assert finding.subject == subject
        assert reason in finding.reason
        assert mend in finding.mend

    @pytest.mark.parametrize("case", UNSEEN)
    def test_it_goes_on_where_it_cannot_see(self, cloud: GoogleCloud, case: str) -> None:
        alter, subject, reason = UNSEEN[case]
        alter(cloud)
        findings = found()
        assert [each for each in findings if each.failed] == []
        assert any(each.subject == subject and reason in each.reason for each in findings), findings

    def test_without_a_project_nothing_is_asked(self, cloud: GoogleCloud) -> None:
        assert only(found(vertex={"project": ""})).mend == "set vertex.project in pagemill.toml, or give --project"
        assert cloud.requests == []

    def test_without_a_login_nothing_is_asked(self, cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody(*args: object, **options: object) -> None:
            raise google.auth.exceptions.DefaultCredentialsError

        monkeypatch.delenv("PAGEMILL_GOOGLE_APIS")
        monkeypatch.setattr(google.auth, "default", nobody)
        assert str(only(found())) == "Google account: nobody is signed in; gcloud auth application-default login"
        assert cloud.requests == []

    def test_what_is_not_answered_in_time_is_unknown(self, cloud: GoogleCloud) -> None:
        cloud.held = "quotaInfos"
        findings = check_prerequisites(settings(), PRESET, PARAMETERS, time_limit_seconds=0.5)
        quota = next(each for each in findings if each.subject == "quota")
        assert (quota.verdict, quota.reason) == (Verdict.UNKNOWN, "no answer within 0.5 s")

    def test_nothing_is_started_or_changed_and_no_secret_is_read(self, cloud: GoogleCloud) -> None:
        found()
        posts = [each for each in cloud.requests if each.startswith("POST")]
        assert {each.rpartition(":")[2] for each in posts} == {"getIamPolicy", "testIamPermissions"}
        assert not [each for each in cloud.requests if each.endswith(":access")]


class TestQuota:
    def test_machines_that_are_not_taken_away_have_a_quota_of_their_own(self, cloud: GoogleCloud) -> None:
        cloud.quotas["CustomModelTrainingA100GPUsPerProjectPerRegion"] = 7
        finding = only(found(PRESETS["vertex-2xa100"]))
        assert finding.reason == "7, but 8 at a time are wanted (CustomModelTrainingA100GPUsPerProjectPerRegion)"
        assert finding.mend.endswith("or give max_shards=3")

    def test_those_of_80_gb_too(self, cloud: GoogleCloud) -> None:
        finding = only(found(PRESETS["vertex-a100-80"]))
        assert "CustomModelTrainingPreemptibleA10080GBGPUsPerProjectPerRegion" in finding.reason
        assert "--preferred-value=8 --dimensions=region=us-central1" in finding.mend

    def test_flex_start_draws_on_what_spot_does(self, cloud: GoogleCloud) -> None:
        flex = dataclasses.replace(PRESETS["vertex-2xa100"], provisioning="FLEX_START")
        cloud.quotas["CustomModelTrainingA100GPUsPerProjectPerRegion"] = 0
        assert found(flex) == []

    def test_few_shards_need_few_machines(self, cloud: GoogleCloud) -> None:
        cloud.quotas["CustomModelTrainingPreemptibleA100GPUsPerProjectPerRegion"] = 2
        assert found(parameters={"max_shards": 2}) == []

    def test_no_limit_is_enough(self, cloud: GoogleCloud) -> None:
        cloud.quotas["CustomModelTrainingPreemptibleA100GPUsPerProjectPerRegion"] = -1
        assert found() == []

    def test_another_region_has_its_own(self, cloud: GoogleCloud) -> None:
        cloud.buckets["books"] = {"location": "EUROPE-WEST4"}
        finding = only(found(vertex={"region": "europe-west4"}))
        assert (finding.subject, finding.reason[:2]) == ("quota for nvidia-tesla-a100 in europe-west4", "1,")

    def test_an_endpoint_has_its_gpus_already(self, cloud: GoogleCloud) -> None:
        cloud.quotas.clear()
        assert found(ocr="endpoint") == []

    def test_that_of_batch_prediction_is_not_known(self, cloud: GoogleCloud) -> None:
        assert only(found(ocr="batch-prediction")).verdict is Verdict.UNKNOWN


class TestBuckets:
    @pytest.mark.parametrize(
        "bucket",
        [
            {"location": "US", "locationType": "multi-region"},
            {"location": "NAM4", "locationType": "dual-region"},
            {"location": "US", "customPlacementConfig": {"dataLocations": ["US-CENTRAL1", "US-EAST4"]}},
        ],
    )
    def test_one_around_the_region_is_near(self, cloud: GoogleCloud, bucket: dict[str, Any]) -> None:
        cloud.buckets["books"] = bucket
        assert found() == []

    @pytest.mark.parametrize(
        "bucket",
        [
            {"location": "EU", "locationType": "multi-region"},
            {"location": "EUR4", "locationType": "dual-region"},
            {"location": "US", "customPlacementConfig": {"dataLocations": ["US-EAST1", "US-EAST4"]}},
        ],
    )
    def test_one_elsewhere_is_not(self, cloud: GoogleCloud, bucket: dict[str, Any]) -> None:
        cloud.buckets["books"] = bucket
        assert only(found()).failed

    def test_who_may_write_need_not_be_let_to_look(self, cloud: GoogleCloud) -> None:
        cloud.caller_may_not_see = {"GET storage.googleapis.com/storage/v1/b/books"}
        cloud.caller_may_see = {"testPermissions"}
        cloud.caller_may.discard("storage.objects.delete")
        findings = found()
        assert [each.reason for each in findings if each.failed] == [
            "this account may not write to it (storage.objects.delete)"
        ]

    def test_every_bucket_that_is_written_to_is_looked_at(self, cloud: GoogleCloud) -> None:
        findings = found(parameters={"store": "gs://elsewhere/store", "publish": "gs://shelf/books"})
        assert {each.subject for each in findings} == {"bucket gs://elsewhere", "bucket gs://shelf"}

    @pytest.mark.parametrize("role", ["roles/storage.admin", "roles/editor"])
    def test_a_role_of_the_project_will_do(self, cloud: GoogleCloud, role: str) -> None:
        cloud.bucket_bindings = []
        cloud.project_bindings.append(binding(role))
        assert found() == []


class TestImages:
    def test_a_digest_is_looked_for(self, cloud: GoogleCloud) -> None:
        other = f"sha256:{'e' * 64}"
        cloud.images.add(f"{REGISTRY}/pipeline@{DIGEST}")
        finding = only(found(images={"pipeline": DIGEST, "nougat": other}))
        assert finding.subject == f"image {REGISTRY}/nougat@{other}"

    def test_a_digest_that_is_none_is_refused(self, cloud: GoogleCloud) -> None:
        assert only(found(images={"nougat": "sha256:short"})).reason == "is no name of an image"

    def test_a_public_registry_gives_everybody_a_token(self, cloud: GoogleCloud) -> None:
        assert found(images={"registry": "ghcr.io/pagemill"}) == []

    def test_vertex_has_no_login_for_a_private_one(self, cloud: GoogleCloud) -> None:
        cloud.private_registries = {"ghcr.io"}
        findings = found(images={"registry": "ghcr.io/pagemill"})
        assert {each.reason for each in findings} == {"is not there or not public, and Vertex AI has no login for it"}
        assert all(each.failed for each in findings)


class TestAccounts:
    def test_vertex_has_one_of_its_own(self, cloud: GoogleCloud) -> None:
        cloud.accounts = {DEFAULT_ACCOUNT: {}}
        cloud.project_bindings = [binding("roles/editor", f"serviceAccount:{DEFAULT_ACCOUNT}")]
        cloud.secrets[SECRET].bindings = [
            binding("roles/secretmanager.secretAccessor", f"serviceAccount:{DEFAULT_ACCOUNT}")
        ]
        assert found(vertex={"service_account": ""}) == []

    def test_an_editor_may_not_read_secrets(self, cloud: GoogleCloud) -> None:
        cloud.project_bindings = [binding("roles/editor")]
        cloud.secrets[SECRET].bindings = []
        assert only(found()).subject == f"secret {SECRET}, tasks"

    def test_it_may_not_have_been_made(self, cloud: GoogleCloud) -> None:
        findings = found(vertex={"service_account": ""})
        missing = next(each for each in findings if each.subject == f"service account {DEFAULT_ACCOUNT}")
        assert missing.mend.startswith("set vertex.service_account")


class TestSecrets:
    def test_a_variable_of_this_machine_is_not_on_vertex(self, cloud: GoogleCloud) -> None:
        finding = only(found(hf_token="env:HF_TOKEN"))
        assert finding.subject == "hf_token"
        assert "tasks on Vertex AI have no such variable" in finding.reason
        assert 'printf %s "$HF_TOKEN" | gcloud secrets create hf-token' in finding.mend

    def test_what_is_published_to_a_folder_needs_no_token(self, cloud: GoogleCloud) -> None:
        assert found(hf_token="env:HF_TOKEN", parameters={"publish": "gs://books/dataset"}) == []

    def test_passwords_are_looked_for_too(self, cloud: GoogleCloud) -> None:
        finding = only(found(parameters={"passwords": f"secret:projects/{PROJECT}/secrets/passwords"}))
        assert finding.subject == f"secret projects/{PROJECT}/secrets/passwords"
        assert found(parameters={"passwords": "gs://books/passwords.txt"}) == []

    def test_a_value_in_place_of_a_name_is_not_quoted(self, cloud: GoogleCloud) -> None:
        finding = only(found(parameters={"hf_token": VALUE}))
        assert finding.reason == "not the name of a secret"
        assert VALUE not in str(finding)

    def test_their_values_are_in_nothing_that_is_told(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        told = io.StringIO()
        for alter, *_ in WRONG.values():
            with ready_cloud(monkeypatch) as cloud:
                alter(cloud)
                findings = found(parameters={"passwords": "env:HF_TOKEN"})
            print_findings(findings, Console(file=told, width=200))
            print(repr(findings), file=told)
        assert told.getvalue().count("tasks on Vertex AI have no such variable") >= len(WRONG)
        assert "quotaInfos" in caplog.text
        assert VALUE not in told.getvalue() + caplog.text


class TestKfp:
    def found(self, cloud: GoogleCloud, **changes: Any) -> dict[str, Finding]:
        findings = check_prerequisites(kfp_settings(cloud, **changes), PRESETS["gke-a100"], PARAMETERS)
        return {each.subject: each for each in findings}

    def test_what_cannot_be_seen_from_outside_is_named_with_the_command_that_looks(self, cloud: GoogleCloud) -> None:
        findings = self.found(cloud)
        assert not any(each.failed for each in findings.values())
        unseen = {subject: each.mend for subject, each in findings.items() if each.verdict is Verdict.UNKNOWN}
        assert unseen["Kubernetes secret pagemill with HF_TOKEN"] == (
            "kubectl describe secret pagemill --namespace kubeflow"
        )
        assert "kubectl get nodes" in unseen["node pool of a2-highgpu-1g with 1 nvidia-tesla-a100"]
        assert "kubectl describe serviceaccount default" in unseen["what Google lets the Kubernetes account default do"]
        assert len(unseen) == 3

    def test_a_host_that_does_not_answer(self, cloud: GoogleCloud) -> None:
        host = "http://127.0.0.1:9"
        finding = self.found(cloud, kfp={"host": host})[f"host {host}"]
        assert finding.failed
        assert "kubectl port-forward" in finding.mend

    def test_no_host(self, cloud: GoogleCloud) -> None:
        assert self.found(cloud, kfp={"host": ""})["host"].failed

    def test_one_that_asks_for_a_login(self, cloud: GoogleCloud) -> None:
        cloud.kfp_login = "secret-bearer"
        refused = self.found(cloud)[f"host {cloud.address}/kfp"]
        assert (refused.failed, refused.reason) == (True, "asks for a login (401)")
        accepted = self.found(cloud, kfp={"token": "secret-bearer"})
        assert accepted[f"host {cloud.address}/kfp"].verdict is Verdict.OK
        assert "secret-bearer" not in repr(accepted)

    @pytest.mark.parametrize("multi_user", [False, True])
    def test_a_namespace_is_named_where_there_are_several(self, cloud: GoogleCloud, multi_user: bool) -> None:
        cloud.kfp_multi_user = multi_user
        assert self.found(cloud)["namespace kubeflow"].verdict is Verdict.OK

    def test_a_namespace_of_somebody_else(self, cloud: GoogleCloud) -> None:
        cloud.failures = [("/experiments", 403)]
        assert self.found(cloud)["namespace kubeflow"].failed

    def test_a_private_registry_may_be_known_to_the_cluster(self, cloud: GoogleCloud) -> None:
        cloud.private_registries = {"ghcr.io"}
        finding = self.found(cloud, images={"registry": "ghcr.io/pagemill"})[
            f"image ghcr.io/pagemill/nougat:{__version__}"
        ]
        assert finding.verdict is Verdict.UNKNOWN
        assert "kubectl get secrets" in finding.mend

    def test_without_a_google_account_the_rest_is_still_looked_at(
        self, cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nobody(*args: object, **options: object) -> None:
            raise google.auth.exceptions.DefaultCredentialsError

        monkeypatch.delenv("PAGEMILL_GOOGLE_APIS")
        monkeypatch.setattr(google.auth, "default", nobody)
        findings = self.found(cloud)
        assert findings[f"host {cloud.address}/kfp"].verdict is Verdict.OK
        assert findings["buckets"].reason == "Google account: nobody is signed in"


class TestPrinting:
    FINDINGS = (
        Finding("image [a]", Verdict.OK, "is there"),
        Finding("quota", Verdict.FAILED, "0, but 8 are wanted", f"gcloud {'x' * 200}"),
    )

    def test_the_table_says_how_each_stands(self) -> None:
        screen = io.StringIO()
        Console(file=screen, width=100).print(findings_table(self.FINDINGS))
        rows = [line.split() for line in screen.getvalue().splitlines()]
        assert rows[1:] == [
            ["ok", "image", "[a]", "is", "there"],
            ["failed", "quota", "0,", "but", "8", "are", "wanted"],
        ]

    def test_a_mend_is_one_line_to_copy(self) -> None:
        screen = io.StringIO()
        print_findings(self.FINDINGS, Console(file=screen, width=60))
        assert f"quota: gcloud {'x' * 200}" in screen.getvalue().splitlines()
