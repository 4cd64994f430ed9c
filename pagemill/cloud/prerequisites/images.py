"""Whether the images of a run are in their registry, asked by the protocol that all registries speak."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, unknown
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.components.images import NAMES, reference

IMAGE = re.compile(
    r"(?P<host>[^/]+)/(?P<name>[^:@]+)(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w][\w.-]*))", re.ASCII
)
GOOGLE_REGISTRIES = (".pkg.dev", "gcr.io")
MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
CHALLENGE = re.compile(r'(?P<key>realm|service|scope)="(?P<value>[^"]*)"')


def check_images(needs: Needs) -> Iterator[Finding]:
    """Look whether each image's tag or digest is in the registry."""
    images = needs.settings.images
    for name in NAMES:
        image = reference(name, images.registry, getattr(images, name))
        parts = IMAGE.fullmatch(image)
        if parts is None:
            yield failed(f"image {image}", "is no name of an image", "correct images.* in the settings")
        elif parts["host"].endswith(GOOGLE_REGISTRIES):
            yield _in_google_registry(needs, image, parts)
        else:
            yield _in_other_registry(needs, image, parts)


def _in_google_registry(needs: Needs, image: str, parts: re.Match[str]) -> Finding:
    answer = needs.apis.send("HEAD", _manifest(parts), headers={"Accept": MANIFESTS})
    if answer.status_code in (401, 403):
        subject = f"image {image}"
        return unknown(subject, "this account may not look (roles/artifactregistry.reader)", "ask its owner to look")
    return _finding(image, answer)


def _in_other_registry(needs: Needs, image: str, parts: re.Match[str]) -> Finding:
    """Look without a login, as Vertex AI has none there; a cluster may have one."""
    headers = {"Accept": MANIFESTS}
    answer = needs.apis.send("HEAD", _manifest(parts), signed=False, headers=headers)
    if answer.status_code == 401 and (token := _anonymous_token(needs, answer)):
        headers["Authorization"] = f"Bearer {token}"
        answer = needs.apis.send("HEAD", _manifest(parts), signed=False, headers=headers)
    if answer.status_code not in (401, 403):
        return _finding(image, answer)
    if needs.settings.to == "kfp":
        mend = f"kubectl get secrets --namespace {needs.settings.kfp.namespace} --field-selector "
        mend += "type=kubernetes.io/dockerconfigjson"
        return unknown(f"image {image}", "is not public; whether the cluster has a login for it is not seen here", mend)
    mend = "copy it to Artifact Registry (gcrane copy) and set images.registry"
    return failed(f"image {image}", "is not there or not public, and Vertex AI has no login for it", mend)


def _anonymous_token(needs: Needs, answer: Any) -> str:
    """Return the token that a registry gives to everybody for what it asked; "" where it gives none."""
    asked = {each["key"]: each["value"] for each in CHALLENGE.finditer(answer.headers.get("WWW-Authenticate", ""))}
    realm = asked.pop("realm", "")
    if urlsplit(realm).scheme != "https":
        return ""
    given = needs.apis.send("GET", realm, signed=False, params=asked)
    if not given.ok:
        return ""
    answered = given.json()
    return str(answered.get("token") or answered.get("access_token") or "")


def _manifest(parts: re.Match[str]) -> str:
    return f"https://{parts['host']}/v2/{parts['name']}/manifests/{parts['digest'] or parts['tag']}"


def _finding(image: str, answer: Any) -> Finding:
    subject = f"image {image}"
    if answer.status_code == 404:
        mend = "build and push it (containers/), or set images.registry or its digest"
        return failed(subject, "is not in the registry", mend)
    if not answer.ok:
        return unknown(subject, f"the registry answers {answer.status_code}")
    digest = answer.headers.get("Docker-Content-Digest", "")
    return ok(subject, f"is there, {digest}" if digest else "is there")
