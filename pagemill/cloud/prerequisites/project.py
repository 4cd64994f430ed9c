"""Whether a Google Cloud project is there and has its APIs enabled, and who tasks run as in it."""

import dataclasses
from collections.abc import Iterator

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, refused, unknown
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.cloud.prerequisites.policies import Policy
from pagemill.google_apis import GoogleError
from pagemill.secrets import MANAGED

PROJECTS = "https://cloudresourcemanager.googleapis.com/v3/projects"
SERVICES = "https://serviceusage.googleapis.com/v1/projects"
START_RUNS = "aiplatform.pipelineJobs.create"


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
