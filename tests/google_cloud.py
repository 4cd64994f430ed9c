"""A Google Cloud project for tests: what it holds, what a test makes wrong, and what its APIs answer to that."""

import base64
import dataclasses
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from google_crc32c import value as crc32c

PROJECT, NUMBER, REGION = "books-project", "415104041262", "us-central1"
ACCOUNT = f"pagemill-runs@{PROJECT}.iam.gserviceaccount.com"
CALLER_MAY = {
    "aiplatform.pipelineJobs.create",
    "iam.serviceAccounts.actAs",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
}
DIGEST = f"sha256:{'d' * 64}"
QUOTAS = {
    "CustomModelTrainingA100GPUsPerProjectPerRegion": 8,
    "CustomModelTrainingPreemptibleA100GPUsPerProjectPerRegion": 8,
    "CustomModelTrainingA10080GBGPUsPerProjectPerRegion": 0,
    "CustomModelTrainingPreemptibleA10080GBGPUsPerProjectPerRegion": 0,
}
STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
STATUSES |= {429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


def binding(role: str, *members: str, **more: Any) -> dict[str, Any]:
    """Return a binding of an IAM policy; without members, of the account that tasks run as."""
    return {"role": role, "members": list(members or (f"serviceAccount:{ACCOUNT}",)), **more}


@dataclasses.dataclass
class Secret:
    """A secret with its versions, the first is number 1; each with its state."""

    versions: list[tuple[bytes, str]]
    bindings: list[dict[str, Any]] = dataclasses.field(
        default_factory=lambda: [binding("roles/secretmanager.secretAccessor")]
    )
    checksum: int | None = None  # told in place of the right one


class Refusal(Exception):
    """An answer in the form that Google's APIs give errors."""

    def __init__(self, status: int, message: str, reason: str = "", service: str = "", code: str = "") -> None:
        error: dict[str, Any] = {"code": status, "message": message, "status": code or STATUSES[status]}
        if reason:
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
            error["details"] = [info | {"metadata": {"service": service, "consumer": f"projects/{NUMBER}"}}]
        self.status, self.body = status, {"error": error}

    @property
    def of_storage(self) -> dict[str, Any]:
        """The same in the form of Cloud Storage, which has neither status nor details."""
        error = self.body["error"]
        reason = {401: "required", 403: "forbidden", 404: "notFound"}.get(self.status, "backendError")
        errors = [{"message": error["message"], "domain": "global", "reason": reason}]
        return {"error": {"code": self.status, "message": error["message"], "errors": errors}}


class Asked(NamedTuple):
    """A request: its method and path as a route's pattern has found them, its query and its body."""

    path: re.Match[str]
    query: dict[str, list[str]]
    body: Any


@dataclasses.dataclass
class GoogleCloud:
    """A project in which everything is well until a test changes it."""

    address: str = ""
    project: str = PROJECT
    account: str = ACCOUNT  # that tasks run as, with the roles that it needs
    project_state: str = "ACTIVE"
    disabled_apis: set[str] = dataclasses.field(default_factory=set)  # "secretmanager"
    quotas: dict[str, int] = dataclasses.field(default_factory=lambda: dict(QUOTAS))
    buckets: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=lambda: {"books": {"location": REGION.upper(), "locationType": "region"}}
    )
    bucket_bindings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    project_bindings: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    accounts: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    account_bindings: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # who may use an account
    caller_may: set[str] = dataclasses.field(default_factory=lambda: set(CALLER_MAY))
    caller_may_not_see: set[str] = dataclasses.field(default_factory=set)  # parts of "GET host/path"
    caller_may_see: set[str] = dataclasses.field(default_factory=set)  # likewise, all the same
    images: set[str] = dataclasses.field(default_factory=set)  # "host/name:tag", "host/name@digest"
    private_registries: set[str] = dataclasses.field(default_factory=set)  # hosts that give nobody a token
    held_by_vertex: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # endpoints, models, by name
    secrets: dict[str, Secret] = dataclasses.field(default_factory=dict)  # by "projects/P/secrets/S"
    kfp_multi_user: bool = False
    kfp_login: str = ""  # a bearer token that Kubeflow Pipelines asks for
    failures: list[tuple[str, int]] = dataclasses.field(default_factory=list)  # part of "GET host/path", status, once
    held: str = ""  # part of "GET host/path" that is not answered while this stays
    requests: list[str] = dataclasses.field(default_factory=list)  # "GET host/path"
    authorizations: set[str] = dataclasses.field(default_factory=set)  # the headers that were seen
    released: threading.Event = dataclasses.field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        member = f"serviceAccount:{self.account}"
        self.accounts[self.account] = {}
        self.project_bindings.append(binding("roles/aiplatform.user", member))
        self.account_bindings.append(binding("roles/iam.serviceAccountUser", member))
        self.bucket_bindings.append(binding("roles/storage.objectUser", member))

    def add_secret(self, name: str, value: bytes) -> None:
        """Put a secret into the project that tasks may read."""
        readers = [binding("roles/secretmanager.secretAccessor", f"serviceAccount:{self.account}")]
        self.secrets[f"projects/{self.project}/secrets/{name}"] = Secret([(value, "ENABLED")], readers)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> dict[str, Any]:
        """Return what an API answers; raises Refusal."""
        asked = f"{method} {path}"
        host = path.partition("/")[0]
        service = host.removesuffix(".googleapis.com")
        if service in self.disabled_apis:
            message = f"{service} API has not been used in project {NUMBER} before or it is disabled."
            raise Refusal(403, message, "SERVICE_DISABLED", host)
        if self.hides(asked):
            raise Refusal(403, f"Permission denied on {path}", "IAM_PERMISSION_DENIED", host)
        for pattern, handler in ROUTES:
            if found := re.fullmatch(pattern, asked):
                return handler(self, Asked(found, query, body))
        raise Refusal(404, f"The requested URL /{path} was not found on this server.")

    def hides(self, asked: str) -> bool:
        """Say whether the caller may not look at what is asked for."""
        may = any(part in asked for part in self.caller_may_see)
        return not may and any(part in asked for part in self.caller_may_not_see)


Route = Callable[[GoogleCloud, Asked], dict[str, Any]]
ROUTES: list[tuple[str, Route]] = []


def route(pattern: str) -> Callable[[Route], Route]:
    def add(handler: Route) -> Route:
        ROUTES.append((pattern, handler))
        return handler

    return add


@route(r"GET cloudresourcemanager\.googleapis\.com/v3/projects/([^/:]+)")
def get_project(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    if asked.path[1] not in (cloud.project, NUMBER):  # what is not there is not told from what may not be seen
        message = f"The caller does not have permission on {asked.path[1]} (or it may not exist)"
        raise Refusal(403, message, "IAM_PERMISSION_DENIED", "cloudresourcemanager.googleapis.com")
    return {"name": f"projects/{NUMBER}", "projectId": cloud.project, "state": cloud.project_state}


@route(r"POST cloudresourcemanager\.googleapis\.com/v3/projects/[^/:]+:getIamPolicy")
def project_policy(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    assert asked.body == {"options": {"requestedPolicyVersion": 3}}
    return {"version": 3, "etag": "BwYhxuU=", "bindings": cloud.project_bindings}


@route(
    r"POST (?:cloudresourcemanager\.googleapis\.com/v3/projects/[^/:]+"
    r"|iam\.googleapis\.com/v1/projects/-/serviceAccounts/[^/:]+):testIamPermissions"
)
def test_permissions(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    held = [each for each in asked.body["permissions"] if each in cloud.caller_may]
    return {"permissions": held} if held else {}  # as protobuf writes an empty list


@route(r"GET serviceusage\.googleapis\.com/v1/projects/([^/]+)/services:batchGet")
def services(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    def state_of(name: str) -> dict[str, Any]:
        service = name.removeprefix(f"projects/{asked.path[1]}/services/")
        state = "DISABLED" if service.partition(".")[0] in cloud.disabled_apis else "ENABLED"
        name = f"projects/{NUMBER}/services/{service}"
        return {"name": name, "parent": f"projects/{NUMBER}", "config": {"name": service}, "state": state}

    if len(asked.query["names"]) > 30:
        raise Refusal(400, "A single request can get a maximum of 30 services at a time.")
    return {"services": [state_of(name) for name in asked.query["names"]]}


@route(
    r"GET cloudquotas\.googleapis\.com/v1/projects/[^/]+/locations/global/services/aiplatform\.googleapis\.com"
    r"/quotaInfos/(\w+)"
)
def quota_info(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    if asked.path[1] not in cloud.quotas:
        raise Refusal(404, f"Quota info {asked.path[1]} is not found.")
    value = cloud.quotas[asked.path[1]]
    elsewhere = {"details": {"value": "1"}, "applicableLocations": ["europe-west4", "asia-southeast1"]}
    here = {"dimensions": {"region": REGION}, "details": {"value": str(value)} if value else {}}
    return {
        "quotaId": asked.path[1],
        "service": "aiplatform.googleapis.com",
        "containerType": "PROJECT",
        "dimensions": ["region"],
        "dimensionsInfos": [here | {"applicableLocations": [REGION]}, elsewhere],
    }


@route(r"GET storage\.googleapis\.com/storage/v1/b/([^/]+)")
def bucket(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    if asked.path[1] not in cloud.buckets:
        raise Refusal(404, "The specified bucket does not exist.")
    return cloud.buckets[asked.path[1]]


@route(r"GET storage\.googleapis\.com/storage/v1/b/[^/]+/iam/testPermissions")
def bucket_permissions(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    held = [each for each in asked.query["permissions"] if each in cloud.caller_may]
    return {"kind": "storage#testIamPermissionsResponse", **({"permissions": held} if held else {})}


@route(r"GET storage\.googleapis\.com/storage/v1/b/[^/]+/iam")
def bucket_policy(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    return {"kind": "storage#policy", "version": 3, "bindings": cloud.bucket_bindings}


@route(r"GET iam\.googleapis\.com/v1/projects/-/serviceAccounts/([^/:]+)")
def account(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    if asked.path[1] not in cloud.accounts:
        raise Refusal(404, f"Unknown service account {asked.path[1]}")
    name = f"projects/{cloud.project}/serviceAccounts/{asked.path[1]}"
    return {"name": name, "email": asked.path[1], "projectId": cloud.project, **cloud.accounts[asked.path[1]]}


@route(r"POST iam\.googleapis\.com/v1/projects/-/serviceAccounts/[^/:]+:getIamPolicy")
def account_policy(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    assert asked.query == {"options.requestedPolicyVersion": ["3"]}
    return {"version": 3, "etag": "BwYhxuU=", "bindings": cloud.account_bindings}


def secret_of(cloud: GoogleCloud, name: str) -> Secret:
    if name not in cloud.secrets:
        raise Refusal(404, f"Secret [{name}] not found.")
    return cloud.secrets[name]


def version_of(cloud: GoogleCloud, name: str, version: str) -> tuple[int, bytes, str]:
    versions = secret_of(cloud, name).versions
    number = len(versions) if version == "latest" else int(version)
    if not 0 < number <= len(versions):
        raise Refusal(404, f"Secret Version [{name}/versions/{version}] not found.")
    return (number, *versions[number - 1])


SECRET = r"secretmanager\.googleapis\.com/v1/(projects/[^/]+/secrets/[\w-]+)"


@route(rf"GET {SECRET}/versions/(\w+):access")
def access(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    number, data, state = version_of(cloud, asked.path[1], asked.path[2])
    if state != "ENABLED":
        message = f"Secret Version [{asked.path[1]}/versions/{number}] is in {state} state."
        raise Refusal(400, message, code="FAILED_PRECONDITION")
    checksum = cloud.secrets[asked.path[1]].checksum
    told = str(crc32c(data) if checksum is None else checksum)
    payload = {"data": base64.b64encode(data).decode(), "dataCrc32c": told}
    return {"name": f"{asked.path[1]}/versions/{number}", "payload": payload}


@route(rf"GET {SECRET}/versions/(\w+)")
def version(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    number, _, state = version_of(cloud, asked.path[1], asked.path[2])
    return {"name": f"{asked.path[1]}/versions/{number}", "createTime": "2024-01-01T00:00:00Z", "state": state}


@route(rf"GET {SECRET}:getIamPolicy")
def secret_policy(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    return {"version": 3, "etag": "BwYhxuU=", "bindings": secret_of(cloud, asked.path[1]).bindings}


@route(r"GET ([a-z0-9-]+)-aiplatform\.googleapis\.com/v1/(projects/[^/]+/locations/\1/(?:endpoints|models)/[\w@-]+)")
def endpoint_or_model(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    if asked.path[2] not in cloud.held_by_vertex:
        raise Refusal(404, f"The resource {asked.path[2]} is not found.")
    return {"name": asked.path[2], **cloud.held_by_vertex[asked.path[2]]}


@route(r"GET kfp/apis/v2beta1/healthz")
def healthz(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    return {"multi_user": cloud.kfp_multi_user, "pipeline_store": "database"}


@route(r"GET kfp/apis/v2beta1/experiments")
def experiments(cloud: GoogleCloud, asked: Asked) -> dict[str, Any]:
    if "namespace" in asked.query and not cloud.kfp_multi_user:
        raise Refusal(400, "In single-user mode, ListExperiment cannot filter by namespace.")
    return {}
