"""A project in which all is well, and each thing that may be wrong with it: found, and told with its mend."""

import io
import logging

import google.auth
import google.auth.exceptions
import pytest
from rich.console import Console

from pagemill import __version__
from pagemill.cloud.prerequisites import Verdict, check_prerequisites, print_findings
from tests.google_cloud import ACCOUNT, PROJECT, GoogleCloud, binding
from tests.unit.prerequisites.conftest import (
    PARAMETERS,
    PRESET,
    REGISTRY,
    SECRET,
    VALUE,
    Change,
    change,
    found,
    only,
    ready_cloud,
    revoke,
    secret_with,
    settings,
)

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

    def test_their_values_are_in_nothing_that_is_told(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        for logger in ("", "urllib3"):  # kfp's client, where it was made, lets the second tell of warnings alone
            caplog.set_level(logging.DEBUG, logger)
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
