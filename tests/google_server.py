"""Google Cloud's APIs over HTTP for tests, as `tests.google_cloud` answers, and registries of images.

`python -m tests.google_server --port 8085` runs them; PAGEMILL_GOOGLE_APIS=http://127.0.0.1:8085 leads there.
"""

import argparse
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.google_cloud import ACCOUNT, DIGEST, PROJECT, GoogleCloud, Refusal


class _Handler(BaseHTTPRequestHandler):
    cloud: GoogleCloud
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together: the second would wait for the first to be acknowledged

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).removeprefix("/"), parse_qs(parts.query)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = f"{self.command} {path}"
        self.cloud.requests.append(asked)
        self.cloud.authorizations.add(self.headers.get("Authorization", ""))
        if self.cloud.held and self.cloud.held in asked:
            self.cloud.released.wait(10)
        failure = next((each for each in self.cloud.failures if each[0] in asked), None)
        if failure:
            self.cloud.failures.remove(failure)
            self._send(failure[1], Refusal(failure[1], "Injected").body)
        elif path.startswith("kfp/") and self.cloud.kfp_login not in self.headers.get("Authorization", ""):
            self._send(401, {"error": "login"})
        elif "/v2/" in path or path.endswith("/token"):
            self._serve_registry(path, query)
        else:
            self._serve_api(path, query, json.loads(content) if content else None)

    def _serve_api(self, path: str, query: dict[str, list[str]], body: Any) -> None:
        try:
            self._send(200, self.cloud.answer(self.command, path, query, body))
        except Refusal as refusal:
            self._send(refusal.status, refusal.of_storage if path.startswith("storage.") else refusal.body)

    def _serve_registry(self, path: str, query: dict[str, list[str]]) -> None:
        """Speak the registry's protocol: of Google's for whom the caller is, of another's after its anonymous token."""
        host, _, rest = path.partition("/")
        is_google = host.endswith(".pkg.dev")
        if rest == "token":
            refused = host in self.cloud.private_registries
            self._send(403 if refused else 200, {"errors": []} if refused else {"token": f"for {query['scope'][0]}"})
            return
        name, _, ref = rest.removeprefix("v2/").partition("/manifests/")
        scope = f"repository:{name}:pull"
        if is_google and self.cloud.hides(f"HEAD {path}"):
            self._send(403, {})
        elif not is_google and self.headers.get("Authorization") != f"Bearer for {scope}":
            challenge = f'Bearer realm="https://{host}/token",service="{host}",scope="{scope}"'
            self._send(401, {"errors": []}, {"WWW-Authenticate": challenge})
        elif {f"{host}/{name}:{ref}", f"{host}/{name}@{ref}"} & self.cloud.images:
            self._send(200, {}, {"Docker-Content-Digest": ref if ":" in ref else DIGEST})
        else:
            self._send(404, {"errors": [{"code": "MANIFEST_UNKNOWN"}]})

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)


@contextlib.contextmanager
def google_server(port: int = 0, project: str = PROJECT, account: str = ACCOUNT) -> Iterator[GoogleCloud]:
    """Serve the APIs of a project on a port of this machine; a test changes what it yields."""
    cloud = GoogleCloud(project=project, account=account)
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"cloud": cloud}))
    server.daemon_threads = True
    cloud.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        cloud.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--project", default=PROJECT)
    parser.add_argument("--account", default=ACCOUNT, help="service account that tasks run as")
    parser.add_argument("--image", action="append", default=[], help="host/name:tag or host/name@digest, repeatable")
    parser.add_argument("--secret", action="append", default=[], help="name of a secret in the project, repeatable")
    parser.add_argument("--bucket", action="append", default=[], help="name of a bucket, repeatable")
    options = parser.parse_args()
    with google_server(options.port, options.project, options.account) as cloud, contextlib.suppress(KeyboardInterrupt):
        cloud.images.update(options.image)
        cloud.buckets.update(dict.fromkeys(options.bucket, cloud.buckets["books"]))
        for name in options.secret:
            cloud.add_secret(name, b"not-a-real-secret")
        print(f"PAGEMILL_GOOGLE_APIS={cloud.address}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
