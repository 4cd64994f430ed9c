"""Quota, buckets, images, accounts and secrets: what counts as well, and what cannot be seen."""

import dataclasses
from typing import Any

import pytest

from pagemill.cloud.prerequisites import Verdict
from pagemill.presets import PRESETS
from tests.google_cloud import DIGEST, PROJECT, GoogleCloud, binding
from tests.unit.prerequisites.conftest import (
    DEFAULT_ACCOUNT,
    REGISTRY,
    SECRET,
    VALUE,
    found,
    only,
)


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


ENDPOINT = f"projects/{PROJECT}/locations/europe-west4/endpoints/7"
MODEL = f"projects/{PROJECT}/locations/us-central1/models/nougat@2"


class TestReading:
    @pytest.mark.parametrize(
        ("ocr", "kind", "name"), [("endpoint", "endpoint", ENDPOINT), ("batch-prediction", "model", MODEL)]
    )
    def test_what_reads_has_to_be_there(self, cloud: GoogleCloud, ocr: str, kind: str, name: str) -> None:
        (finding,) = (each for each in found(ocr=ocr, parameters={kind: name}) if each.failed)
        assert (finding.subject, finding.reason) == (f"{kind} {name}", "is not there")
        assert "pagemill submit deploy-nougat" in finding.mend
        cloud.held_by_vertex[name] = {"deployedModels": [{"id": "1"}]}
        assert not any(each.failed for each in found(ocr=ocr, parameters={kind: name}))

    def test_what_is_taken_down_need_not_have_a_model(self, cloud: GoogleCloud) -> None:
        cloud.held_by_vertex[ENDPOINT] = {}
        assert found(parameters={"endpoint": ENDPOINT, "model": MODEL}) == []

    def test_an_endpoint_has_to_have_a_model(self, cloud: GoogleCloud) -> None:
        cloud.held_by_vertex[ENDPOINT] = {}
        assert only(found(ocr="endpoint", parameters={"endpoint": ENDPOINT})).reason == "has no model"

    def test_who_may_not_look_may_still_try(self, cloud: GoogleCloud) -> None:
        cloud.caller_may_not_see = {"europe-west4-aiplatform"}
        assert only(found(ocr="endpoint", parameters={"endpoint": ENDPOINT})).verdict is Verdict.UNKNOWN

    def test_a_server_at_a_url_is_not_asked(self, cloud: GoogleCloud) -> None:
        assert found(ocr="endpoint", parameters={"endpoint": "http://nougat:8080"}) == []


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
