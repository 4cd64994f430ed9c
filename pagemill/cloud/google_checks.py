"""What Google Cloud is asked before a run: APIs, quota, buckets, the service account and its roles, secrets."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pagemill.cloud.findings import Finding, Needs, Policy, Verdict, failed, ok, unknown
from pagemill.errors import UserError
from pagemill.google_apis import GoogleError
from pagemill.secrets import ACCESSOR, API, MANAGED, check_reference, is_reference

PROJECTS = "https://cloudresourcemanager.googleapis.com/v3/projects"
SERVICES = "https://serviceusage.googleapis.com/v1/projects"
QUOTAS = "https://cloudquotas.googleapis.com/v1/projects"
BUCKETS = "https://storage.googleapis.com/storage/v1/b"
ACCOUNTS = "https://iam.googleapis.com/v1/projects/-/serviceAccounts"

START_RUNS = "aiplatform.pipelineJobs.create"
ACT_AS = "iam.serviceAccounts.actAs"
WRITE_OBJECTS = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")

BASIC_ROLES = ("roles/editor", "roles/owner")
RUN_ROLES = frozenset({"roles/aiplatform.user", "roles/aiplatform.admin", *BASIC_ROLES})
WRITE_ROLES = frozenset({"roles/storage.objectUser", "roles/storage.objectAdmin", "roles/storage.admin", *BASIC_ROLES})
ACT_AS_ROLES = frozenset({"roles/iam.serviceAccountUser", *BASIC_ROLES})
READ_SECRET_ROLES = frozenset({ACCESSOR, "roles/secretmanager.admin", "roles/owner"})

# Quotas of custom jobs on Vertex AI, which are none of Compute Engine's. Spot and Flex-start draw on the preemptible.
QUOTA_NAMES = {"nvidia-tesla-a100": "A100GPUs", "nvidia-a100-80gb": "A10080GBGPUs"}
UNLIMITED = -1

CONTINENTS = {"US": "us-", "EU": "europe-", "ASIA": "asia-"}  # where a multi-region bucket lies
DUAL_REGIONS = {  # that Google has named; others say their regions themselves
    "NAM4": ("us-central1", "us-east1"),
    "EUR4": ("europe-north1", "europe-west4"),
    "ASIA1": ("asia-northeast1", "asia-northeast2"),
}


def know_project(needs: Needs) -> Needs:
    """Return what other checks need to know of the project: who tasks run as, and who holds which roles."""
    account = needs.settings.vertex.service_account
    try:
        number = needs.apis.get(f"{PROJECTS}/{needs.project}")["name"].rpartition("/")[2]
        account = account or f"{number}-compute@developer.gserviceaccount.com"
        policy = needs.apis.post(f"{PROJECTS}/{needs.project}:getIamPolicy", {"options": {"requestedPolicyVersion": 3}})
    except (GoogleError, OSError):
        return dataclasses.replace(needs, account=account)
    return dataclasses.replace(needs, account=account, policy=Policy(tuple(policy.get("bindings", ()))))


def check_project(needs: Needs) -> Iterator[Finding]:
    """Look whether the project is there, and the caller may start runs in it."""
    subject = f"project {needs.project}"
    try:
        found = needs.apis.get(f"{PROJECTS}/{needs.project}")
    except GoogleError as error:
        if error.is_disabled_api or error.status not in (403, 404):
            yield refused(subject, error)
        else:  # Google tells neither from the other
            yield unknown(subject, "is not there, or this account may not see it", "gcloud projects list")
        return
    if found.get("state", "ACTIVE") != "ACTIVE":
        yield failed(subject, f"is {found['state']}", f"gcloud projects undelete {needs.project}")
        return
    answer = needs.apis.post(f"{PROJECTS}/{needs.project}:testIamPermissions", {"permissions": [START_RUNS]})
    if START_RUNS in answer.get("permissions", ()):
        yield ok(subject, "this account may start runs")
    else:
        mend = f"gcloud projects add-iam-policy-binding {needs.project} --member user:YOU --role roles/aiplatform.user"
        yield failed(subject, f"this account may not start runs ({START_RUNS})", mend)


def check_apis(needs: Needs) -> Iterator[Finding]:
    """Look whether the APIs that a run uses are enabled."""
    wanted = ["aiplatform", "storage"]
    wanted += ["compute"] if not needs.settings.vertex.service_account else []
    wanted += ["artifactregistry"] if "docker.pkg.dev" in needs.settings.images.registry else []
    wanted += ["secretmanager"] if any(MANAGED.fullmatch(name) for _, name in needs.secrets()) else []
    names = [f"{name}.googleapis.com" for name in wanted]
    answer = needs.apis.get(
        f"{SERVICES}/{needs.project}/services:batchGet",
        names=[f"projects/{needs.project}/services/{name}" for name in names],
    )
    enabled = {each["config"]["name"] for each in answer.get("services", []) if each.get("state") == "ENABLED"}
    missing = [name for name in names if name not in enabled]
    if missing:
        mend = f"gcloud services enable {' '.join(missing)} --project {needs.project}"
        yield failed("APIs", f"not enabled: {', '.join(missing)}", mend)
    else:
        yield ok("APIs", f"enabled: {', '.join(names)}")


def check_quota(needs: Needs) -> Iterator[Finding]:
    """Look whether as many GPUs as the run takes at a time may be had in the region, when none is in use."""
    preset, region = needs.preset, needs.settings.vertex.region
    if not preset.accelerators or needs.ocr == "endpoint":
        return  # the endpoint's GPUs are there already
    subject = f"quota for {preset.accelerator} in {region}"
    if needs.ocr != "worker" or preset.accelerator not in QUOTA_NAMES:
        look = f"gcloud beta quotas info list --service=aiplatform.googleapis.com --project={needs.project}"
        yield unknown(subject, f"which quota {needs.ocr} draws on for it is not known here", look)
        return
    wanted = preset.accelerators * _at_a_time(needs)
    quota = _quota_name(needs)
    url = f"{QUOTAS}/{needs.project}/locations/global/services/aiplatform.googleapis.com/quotaInfos/{quota}"
    limit = _limit(needs.apis.get(url), region)
    if limit == UNLIMITED or limit >= wanted:
        yield ok(subject, f"{'no limit' if limit == UNLIMITED else limit}, {wanted} at a time are wanted ({quota})")
        return
    mend = f"ask for {wanted} {_ask_for_quota(needs, quota, wanted)}"
    fewer = limit // preset.accelerators
    mend += f", or give max_shards={fewer}" if fewer else ", or choose another region or preset"
    yield failed(subject, f"{limit}, but {wanted} at a time are wanted ({quota})", mend)


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


def check_account(needs: Needs) -> Iterator[Finding]:
    """Look whether the account that tasks run as is there, may be used by the caller, and may run tasks."""
    subject = f"service account {needs.account}".rstrip()
    if not needs.account:
        yield unknown(subject, "Vertex AI's default account is not known without the project", "set service_account")
        return
    try:
        found = needs.apis.get(f"{ACCOUNTS}/{quote(needs.account)}")
    except GoogleError as error:
        yield _account_missing(needs, subject) if error.status == 404 else refused(subject, error)
        return
    if found.get("disabled"):
        yield failed(subject, "is disabled", f"gcloud iam service-accounts enable {needs.account}")
        return
    yield _may_act_as(needs, subject)
    grant = f"gcloud projects add-iam-policy-binding {needs.project} --member serviceAccount:{needs.account}"
    yield _role_finding(needs, needs.policy, RUN_ROLES, f"{subject}, tasks", f"{grant} --role roles/aiplatform.user")
    if needs.preset.accelerators and needs.ocr == "worker":
        yield _may_start_jobs(needs, subject)


def check_secrets(needs: Needs) -> Iterator[Finding]:
    """Look whether the secrets of a run are in Secret Manager, and may be read by tasks there; none is read."""
    for parameter, reference in needs.secrets():
        if parameter == "passwords" and not is_reference(reference):
            continue  # a file
        try:
            check_reference(reference, parameter)
        except UserError as mistake:
            yield failed(mistake.subject, mistake.reason, mistake.mend)
            continue
        managed = MANAGED.fullmatch(reference)
        if managed:
            yield from _about_secret(needs, f"secret {reference.removeprefix('secret:')}", managed)
        elif needs.settings.to == "vertex":
            yield _no_variables(needs, parameter, reference)


def refused(subject: str, error: GoogleError) -> Finding:
    """Return that an API would not say how something stands."""
    if error.is_disabled_api:
        mend = f"gcloud services enable {error.service}"
        return unknown(subject, f"cannot be looked up, {error.service} is not enabled", mend)
    told = error.reason or error.code or error.status
    if error.status == 403:
        return unknown(subject, f"this account may not look ({told})", "ask an owner of the project to look")
    return unknown(subject, f"cannot be looked up ({told})", "try again")


# quota


def _quota_name(needs: Needs) -> str:
    kind = "" if needs.preset.provisioning == "STANDARD" else "Preemptible"
    return f"CustomModelTraining{kind}{QUOTA_NAMES[needs.preset.accelerator]}PerProjectPerRegion"


def _at_a_time(needs: Needs) -> int:
    """Return how many machines run at once."""
    shards = int(needs.parameters.get("max_shards") or needs.preset.max_shards)
    return min(shards, needs.preset.parallelism or shards)


def _limit(quota: Mapping[str, Any], region: str) -> int:
    """Return what a quota allows in a region; it may say so for a region alone, or for all that it does not name."""
    for each in quota.get("dimensionsInfos", ()):
        if region in each.get("applicableLocations", ()):
            return int(each.get("details", {}).get("value", 0))
    return 0


def _ask_for_quota(needs: Needs, quota: str, wanted: int) -> str:
    return (
        f"by gcloud beta quotas preferences create --service=aiplatform.googleapis.com --project={needs.project} "
        f"--quota-id={quota} --preferred-value={wanted} --dimensions=region={needs.settings.vertex.region}"
    )


# buckets


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
        bindings = _bindings(needs, f"{BUCKETS}/{bucket}/iam", optionsRequestedPolicyVersion=3)
        policy = needs.policy.with_bindings(bindings)
        member = f"--member serviceAccount:{needs.account}"
        yield _role_finding(needs, policy, WRITE_ROLES, f"{subject}, tasks", f"{grant} {member}")


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


# accounts


def _account_missing(needs: Needs, subject: str) -> Finding:
    if needs.settings.vertex.service_account:
        name = needs.account.partition("@")[0]
        return failed(subject, "is not there", f"gcloud iam service-accounts create {name} --project {needs.project}")
    mend = "set vertex.service_account, or gcloud services enable compute.googleapis.com to have it made"
    return failed(subject, "Vertex AI's default account is not there", mend)


def _may_act_as(needs: Needs, subject: str) -> Finding:
    answer = needs.apis.post(f"{ACCOUNTS}/{quote(needs.account)}:testIamPermissions", {"permissions": [ACT_AS]})
    if ACT_AS in answer.get("permissions", ()):
        return ok(subject, "this account may use it")
    grant = f"gcloud iam service-accounts add-iam-policy-binding {needs.account} --project {needs.project}"
    mend = f"{grant} --member user:YOU --role roles/iam.serviceAccountUser"
    return failed(subject, f"this account may not use it ({ACT_AS})", mend)


def _may_start_jobs(needs: Needs, subject: str) -> Finding:
    """Return whether a task may start the job that reads pages as the account that it runs as itself."""
    url = f"{ACCOUNTS}/{quote(needs.account)}:getIamPolicy?options.requestedPolicyVersion=3"
    try:
        policy = needs.policy.with_bindings(list(needs.apis.post(url, {}).get("bindings", ())))
    except GoogleError:
        policy = needs.policy.with_bindings(None)
    grant = f"gcloud iam service-accounts add-iam-policy-binding {needs.account} --project {needs.project}"
    grant += f" --member serviceAccount:{needs.account} --role roles/iam.serviceAccountUser"
    return _role_finding(needs, policy, ACT_AS_ROLES, f"{subject}, jobs of tasks", grant)


def _role_finding(needs: Needs, policy: Policy, roles: frozenset[str], subject: str, grant: str) -> Finding:
    """Return whether the account that tasks run as holds one of some roles."""
    least = grant.partition("--role ")[2].partition(" ")[0]
    verdict = policy.verdict(needs.account, roles)
    if verdict is Verdict.OK:
        return ok(subject, f"{needs.account} has {least} or more")
    if verdict is Verdict.UNKNOWN:
        return unknown(subject, f"whether {needs.account} has {least} cannot be seen by this account", grant)
    return failed(subject, f"{needs.account} lacks {least}", grant)


def _bindings(needs: Needs, url: str, **params: Any) -> list[Mapping[str, Any]] | None:
    """Return the bindings of a policy; None when this account may not read it."""
    try:
        return list(needs.apis.get(url, **params).get("bindings", ()))
    except GoogleError:
        return None


# secrets


def _about_secret(needs: Needs, subject: str, managed: re.Match[str]) -> Iterator[Finding]:
    url, of_project = f"{API}/{managed['secret']}", f"--project {managed['project']}"
    add = f"gcloud secrets versions add {managed['name']} {of_project} --data-file=FILE"
    try:
        version = needs.apis.get(f"{url}/versions/{managed['version'] or 'latest'}")
    except GoogleError as error:
        if error.status != 404:
            yield refused(subject, error)
            return
        create = f"gcloud secrets create {managed['name']} {of_project} --data-file=FILE"
        yield failed(subject, "is not there, or has no such version", f"{create}; or {add}")
        return
    if version.get("state") != "ENABLED":
        yield failed(subject, f"its version is {str(version.get('state')).lower()}", add)
        return
    yield ok(subject, "is there")
    if needs.account:
        here = needs.policy if managed["project"] == needs.project else Policy(complete=False)
        policy = here.with_bindings(_bindings(needs, f"{url}:getIamPolicy", **{"options.requestedPolicyVersion": 3}))
        grant = f"gcloud secrets add-iam-policy-binding {managed['name']} {of_project} --role {ACCESSOR}"
        member = f"--member serviceAccount:{needs.account}"
        yield _role_finding(needs, policy, READ_SECRET_ROLES, f"{subject}, tasks", f"{grant} {member}")


def _no_variables(needs: Needs, parameter: str, reference: str) -> Finding:
    name = parameter.replace("_", "-")
    variable = reference.removeprefix("env:")
    create = f'printf %s "${variable}" | gcloud secrets create {name} --project {needs.project} --data-file=-'
    mend = f"{create}, then give {parameter}=secret:projects/{needs.project}/secrets/{name}"
    return failed(parameter, f"{reference} is of this machine; tasks on Vertex AI have no such variable", mend)
