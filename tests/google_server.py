"""Google Cloud's APIs over HTTP for tests, as `tests.google_cloud` answers, and registries of images."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.google_cloud import DIGEST, GoogleCloud, Refusal
from tests.servers import JsonHandler, listening


class _Handler(JsonHandler):
    cloud: GoogleCloud

    def serve(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).removeprefix("/"), parse_qs(parts.query)
        content = self.received()
        asked = f"{self.command} {path}"
        self.cloud.requests.append(asked)
        self.cloud.authorizations.add(self.headers.get("Authorization", ""))
        if self.cloud.held and self.cloud.held in asked:
            self.cloud.released.wait(10)
        failure = next((each for each in self.cloud.failures if each[0] in asked), None)
        if failure:
            self.cloud.failures.remove(failure)
            self.send(failure[1], Refusal(failure[1], "Injected").body)
        elif path.startswith("kfp/") and self.cloud.kfp_login not in self.headers.get("Authorization", ""):
            self.send(401, {"error": "login"})
        elif "/v2/" in path or path.endswith("/token"):
            self._serve_registry(path, query)
        else:
            self._serve_api(path, query, json.loads(content) if content else None)

    def _serve_api(self, path: str, query: dict[str, list[str]], body: Any) -> None:
        try:
            self.send(200, self.cloud.answer(self.command, path, query, body))
        except Refusal as refusal:
            self.send(refusal.status, refusal.of_storage if path.startswith("storage.") else refusal.body)

    def _serve_registry(self, path: str, query: dict[str, list[str]]) -> None:
        """Speak the registry's protocol: of Google's for whom the caller is, of another's after its anonymous token."""
        host, _, rest = path.partition("/")
        is_google = host.endswith(".pkg.dev")
        if rest == "token":
            refused = host in self.cloud.private_registries
            self.send(403 if refused else 200, {"errors": []} if refused else {"token": f"for {query['scope'][0]}"})
            return
        name, _, ref = rest.removeprefix("v2/").partition("/manifests/")
        scope = f"repository:{name}:pull"
        if is_google and self.cloud.hides(f"HEAD {path}"):
            self.send(403, {})
        elif not is_google and self.headers.get("Authorization") != f"Bearer for {scope}":
            challenge = f'Bearer realm="https://{host}/token",service="{host}",scope="{scope}"'
            self.send(401, {"errors": []}, {"WWW-Authenticate": challenge})
        elif {f"{host}/{name}:{ref}", f"{host}/{name}@{ref}"} & self.cloud.images:
            self.send(200, {}, {"Docker-Content-Digest": ref if ":" in ref else DIGEST})
        else:
            self.send(404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]})


@contextlib.contextmanager
def google_server() -> Iterator[GoogleCloud]:
    """Serve the APIs of a project on a free port of this machine; a test changes what it yields."""
    cloud = GoogleCloud()
    with listening(_Handler, cloud=cloud) as cloud.address:
        try:
            yield cloud
        finally:
            cloud.released.set()
