"""Whether the secrets of a run are in Secret Manager, and may be read by its tasks; none is read."""

import re
from collections.abc import Iterator

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, refused
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.cloud.prerequisites.policies import UNSEEN, bindings_at, role_finding
from pagemill.errors import UserError
from pagemill.google_apis import GoogleError
from pagemill.secrets import ACCESSOR, API, MANAGED, check_reference, is_reference

READ_SECRET_ROLES = frozenset({ACCESSOR, "roles/secretmanager.admin", "roles/owner"})


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
        here = needs.policy if managed["project"] == needs.project else UNSEEN
        bindings = bindings_at(needs.apis, f"{url}:getIamPolicy", **{"options.requestedPolicyVersion": 3})
        grant = f"gcloud secrets add-iam-policy-binding {managed['name']} {of_project} --role {ACCESSOR}"
        member = f"--member serviceAccount:{needs.account}"
        policy = here.with_bindings(bindings)
        yield role_finding(policy, needs.account, READ_SECRET_ROLES, f"{subject}, tasks", f"{grant} {member}")


def _no_variables(needs: Needs, parameter: str, reference: str) -> Finding:
    name = parameter.replace("_", "-")
    variable = reference.removeprefix("env:")
    create = f'printf %s "${variable}" | gcloud secrets create {name} --project {needs.project} --data-file=-'
    mend = f"{create}, then give {parameter}=secret:projects/{needs.project}/secrets/{name}"
    return failed(parameter, f"{reference} is of this machine; tasks on Vertex AI have no such variable", mend)
