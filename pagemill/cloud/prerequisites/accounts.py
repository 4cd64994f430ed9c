"""Whether the service account that tasks run as is there, may be used, and may run them."""

from collections.abc import Iterator
from urllib.parse import quote

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, refused, unknown
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.cloud.prerequisites.policies import BASIC_ROLES, role_finding
from pagemill.google_apis import GoogleError

ACCOUNTS = "https://iam.googleapis.com/v1/projects/-/serviceAccounts"
ACT_AS = "iam.serviceAccounts.actAs"
RUN_ROLES = frozenset({"roles/aiplatform.user", "roles/aiplatform.admin", *BASIC_ROLES})
ACT_AS_ROLES = frozenset({"roles/iam.serviceAccountUser", *BASIC_ROLES})


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
    yield role_finding(
        needs.policy, needs.account, RUN_ROLES, f"{subject}, tasks", f"{grant} --role roles/aiplatform.user"
    )
    if needs.preset.accelerators and needs.ocr == "worker":
        yield _may_start_jobs(needs, subject)


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
    return role_finding(policy, needs.account, ACT_AS_ROLES, f"{subject}, jobs of tasks", grant)
