"""Whether the buckets of a run are there and near, and may be written to."""

from collections.abc import Iterator, Mapping
from typing import Any

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, refused
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.cloud.prerequisites.policies import BASIC_ROLES, bindings_at, role_finding
from pagemill.google_apis import GoogleError

BUCKETS = "https://storage.googleapis.com/storage/v1/b"
WRITE_OBJECTS = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")
WRITE_ROLES = frozenset({"roles/storage.objectUser", "roles/storage.objectAdmin", "roles/storage.admin", *BASIC_ROLES})

CONTINENTS = {"US": "us-", "EU": "europe-", "ASIA": "asia-"}  # where a multi-region bucket lies
DUAL_REGIONS = {  # that Google has named; others say their regions themselves
    "NAM4": ("us-central1", "us-east1"),
    "EUR4": ("europe-north1", "europe-west4"),
    "ASIA1": ("asia-northeast1", "asia-northeast2"),
}


def check_buckets(needs: Needs) -> Iterator[Finding]:
    """Look whether the buckets are there and near, and may be written to by the caller and by tasks."""
    for bucket in needs.buckets:
        subject = f"bucket gs://{bucket}"
        try:
            found = needs.apis.get(f"{BUCKETS}/{bucket}", fields="location,locationType,customPlacementConfig")
        except GoogleError as error:
            if error.status == 404:
                place = f"--location {needs.settings.vertex.region} --uniform-bucket-level-access"
                yield failed(subject, "is not there", f"gcloud storage buckets create gs://{bucket} {place}")
                continue
            yield refused(subject, error)  # who may write need not be let to look
        else:
            yield from _place_of_bucket(needs, subject, found)
        yield from _rights_in_bucket(needs, subject, bucket)


def _place_of_bucket(needs: Needs, subject: str, found: Mapping[str, Any]) -> Iterator[Finding]:
    region, location = needs.settings.vertex.region, found.get("location", "")
    if needs.settings.to == "kfp":
        return  # where the cluster is, the settings do not say
    if _is_near(found, region):
        yield ok(subject, f"is in {location}")
    else:
        mend = "take a bucket of that region, or the bucket's region for vertex.region"
        yield failed(subject, f"is in {location}, but runs are in {region}", mend)


def _rights_in_bucket(needs: Needs, subject: str, bucket: str) -> Iterator[Finding]:
    answer = needs.apis.get(f"{BUCKETS}/{bucket}/iam/testPermissions", permissions=list(WRITE_OBJECTS))
    missing = [each for each in WRITE_OBJECTS if each not in answer.get("permissions", ())]
    grant = f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --role roles/storage.objectUser"
    if missing:
        yield failed(subject, f"this account may not write to it ({', '.join(missing)})", f"{grant} --member user:YOU")
    else:
        yield ok(subject, "this account may write to it")
    if needs.account:
        bindings = bindings_at(needs.apis, f"{BUCKETS}/{bucket}/iam", optionsRequestedPolicyVersion=3)
        policy = needs.policy.with_bindings(bindings)
        member = f"--member serviceAccount:{needs.account}"
        yield role_finding(policy, needs.account, WRITE_ROLES, f"{subject}, tasks", f"{grant} {member}")


def _is_near(bucket: Mapping[str, Any], region: str) -> bool:
    """Say whether a bucket's content lies in a region, or in the part of the world around it."""
    location = str(bucket.get("location", "")).upper()
    own = [each.lower() for each in bucket.get("customPlacementConfig", {}).get("dataLocations", ())]
    around = CONTINENTS.get(location)
    return (
        location.lower() == region
        or region in own
        or region in DUAL_REGIONS.get(location, ())
        or (not own and around is not None and region.startswith(around))
    )
