"""What Kubeflow Pipelines is asked before a run, and what of its cluster cannot be seen from outside."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, unknown
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.presets import SECRET
from pagemill.secrets import MANAGED, VARIABLE

DEFAULT_ACCOUNT = "pipeline-runner"  # Kubeflow Pipelines has tasks run as it unless told otherwise
LOGIN_STATUSES = (301, 302, 303, 307, 308, 401)


def check_host(needs: Needs) -> Iterator[Finding]:
    """Look whether Kubeflow Pipelines answers, and lets the caller into namespace and experiments."""
    kfp = needs.settings.kfp
    subject = f"host {kfp.host}".rstrip()
    if not kfp.host:
        yield failed("host", "is not set", "set kfp.host in pagemill.toml, or give --host")
        return
    try:
        health = _get(needs, "healthz")
    except OSError as error:
        reason = f"does not answer ({type(error).__name__})"
        yield failed(subject, reason, "kubectl port-forward service/ml-pipeline-ui 8080:80 --namespace kubeflow")
        return
    if health.status_code in LOGIN_STATUSES or not health.ok:
        yield _no_access(subject, health.status_code)
        return
    try:
        several = bool(health.json().get("multi_user"))
    except (ValueError, AttributeError):
        yield failed(subject, "answers, but not as Kubeflow Pipelines", "check kfp.host")
        return
    yield ok(subject, "answers")
    # One that has no users of its own refuses to hear of namespaces.
    listed = _get(needs, "experiments", page_size=1, **({"namespace": kfp.namespace} if several else {}))
    place = f"namespace {kfp.namespace}"
    if listed.status_code == 403:
        mend = f"have an owner add you as a contributor to {place}, or set kfp.namespace"
        yield failed(place, "this account may not use its experiments", mend)
    elif not listed.ok:
        yield _no_access(place, listed.status_code)
    else:
        yield ok(place, "its experiments may be used")


def check_cluster(needs: Needs) -> Iterator[Finding]:
    """Name what cannot be seen from outside of the cluster, with the command that looks."""
    kfp, preset = needs.settings.kfp, needs.preset
    unseen = "cannot be seen from here; look with the command"
    names = [variable["name"] for _, each in needs.secrets() if (variable := VARIABLE.fullmatch(each))]
    if names:
        look = f"kubectl describe secret {SECRET} --namespace {kfp.namespace}"
        yield unknown(f"Kubernetes secret {SECRET} with {', '.join(names)}", unseen, look)
    if preset.accelerators:
        wanted = f"{preset.machine} with {preset.accelerators} {preset.accelerator}"
        look = "kubectl get nodes --label-columns cloud.google.com/gke-accelerator, and for a pool of no nodes yet: "
        yield unknown(f"node pool of {wanted}", unseen, f"{look}gcloud container node-pools list --cluster CLUSTER")
    if needs.buckets or any(MANAGED.fullmatch(each) for _, each in needs.secrets()):
        account = kfp.service_account or DEFAULT_ACCOUNT
        look = f"kubectl describe serviceaccount {account} --namespace {kfp.namespace}"
        yield unknown(f"what Google lets the Kubernetes account {account} do", unseen, look)


def _get(needs: Needs, path: str, **params: Any) -> Any:
    """Return the answer to a request of the API; a login page is not followed to."""
    kfp = needs.settings.kfp
    url = f"{kfp.url}/apis/v2beta1/{path}"
    token = kfp.bearer or _google_token(needs)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return needs.apis.send("GET", url, signed=False, params=params, headers=headers, allow_redirects=False)


def _google_token(needs: Needs) -> str:
    """Return the Google account's token, for Google's own proxy alone."""
    if not (urlsplit(needs.settings.kfp.url).hostname or "").endswith(".pipelines.googleusercontent.com"):
        return ""
    return needs.apis.sign_in()


def _no_access(subject: str, status: int) -> Finding:
    if status in LOGIN_STATUSES or status == 403:
        mend = "set PAGEMILL_KFP__TOKEN to a token that it accepts"
        return failed(subject, f"asks for a login ({status})", mend)
    return unknown(subject, f"answers {status}", "try again, or look at the pods of Kubeflow Pipelines")
