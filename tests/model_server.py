"""A small model server over HTTP: OpenAI's chat completions and Ollama's own routes, answering as a test scripts it."""

import argparse
import contextlib
import importlib
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.model_service import Flavour, Mishap, ModelService, Request
from tests.model_shapes import Refused

STATUSES = {"429": (429, "rate_limit_exceeded"), "500": (500, "server_error"), "503": (503, "overloaded_error")}
POLL_SECONDS = 0.005


@contextlib.contextmanager
def running_model_server(flavour: Flavour = "ollama", port: int = 0) -> Iterator[ModelService]:
    """Run a new model server on a free port of this machine, or on the given one; `endpoint` ends in /v1.

    Raises:
        AssertionError: At the end, when the script's own answers were wrong.
    """
    service = ModelService(flavour)
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"service": service}))
    service.endpoint = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_SECONDS}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert not service.mistakes, service.mistakes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256  # that may be about to connect


class _Handler(BaseHTTPRequestHandler):
    service: ModelService
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.suppress(ConnectionError):
            try:
                body = json.loads(content) if content else None
                request = Request(self.command, self.path, body, self.headers.get("Authorization", ""))
                with self.service.lock:
                    self.service.requests.append(request)
                    told, mishap = self.service.answer(request)
            except ValueError as error:
                self._refuse(Refused(400, str(error)))
            except Refused as refused:
                self._refuse(refused)
            except Exception as error:
                self.service.mistakes.append(repr(error))
                self._refuse(Refused(418, "the script is at fault"))
            else:
                self._tell(told, mishap)

    def _tell(self, told: Any, mishap: Mishap | None) -> None:
        """Send what is answered, or what goes wrong with it."""
        fault = mishap.fault if mishap else ""
        if isinstance(told, Iterator):
            self._stream(told)
        elif mishap and fault in STATUSES:
            status, kind = STATUSES[fault]
            headers = {"Retry-After": f"{mishap.seconds:.0f}"} if fault == "429" else {}
            self._send(status, _error(status, "injected", kind), headers)
        elif fault == "dropped":
            self.close_connection = True
        elif fault == "half":
            self._send(200, told, {}, share=0.5)
        elif fault == "page":
            self._send(200, "<html>down for maintenance</html>", {"Content-Type": "text/html"})
        elif fault == "half json":
            self._send(200, json.dumps(told)[:-20], {})
        elif fault == "no choices":
            self._send(200, {**told, "choices": []}, {})
        else:
            if mishap and fault == "slow":
                self.service.closed.wait(mishap.seconds)
            self._send(200, told, {})

    def _refuse(self, refused: Refused) -> None:
        # Ollama's own routes say only a text.
        openai = _error(refused.status, refused.message, refused.kind)
        self._send(refused.status, openai if self.path.startswith("/v1") else {"error": refused.message}, {})

    def _send(self, status: int, told: Any, headers: dict[str, str], share: float = 1.0) -> None:
        content = told.encode() if isinstance(told, str) else json.dumps(told, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: int(len(content) * share)])
        self.close_connection = self.close_connection or share < 1

    def _stream(self, parts: Iterator[Any]) -> None:
        """Send lines of JSON in chunks, as Ollama tells of a pull."""
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for part in parts:
                line = json.dumps(part).encode() + b"\n"
                self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionAbortedError:
            self.close_connection = True


def _error(status: int, message: str, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted, and say where on the first line."""
    parser = argparse.ArgumentParser(description="A local model server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--flavour", choices=["ollama", "llama.cpp", "vllm", "openai"], default="ollama")
    parser.add_argument("--script", help="module:function that is given the service, and scripts it")
    options = parser.parse_args(arguments)
    with running_model_server(options.flavour, options.port) as service, contextlib.suppress(KeyboardInterrupt):
        if options.script:
            module, _, function = options.script.partition(":")
            getattr(importlib.import_module(module), function)(service)
        print(service.endpoint, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
