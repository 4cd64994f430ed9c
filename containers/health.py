"""The health check of images: asks the server in this container, and finds a container without one healthy."""

import os
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

FIRST_PROCESS = Path("/proc/1/cmdline")
SERVER = "app.py"
LIMIT_SECONDS = 8.0


def main() -> None:
    """Exit with 0 when the container is well, with 1 when its server is not."""
    sys.exit(0 if not runs_server(FIRST_PROCESS) or answers(health_url()) else 1)


def runs_server(command_line: Path) -> bool:
    """Say whether a process was started as the server; a worker answers no requests, and ends when it is not well."""
    words = command_line.read_bytes().split(b"\0")
    return any(Path(os.fsdecode(word)).name == SERVER for word in words)


def health_url() -> str:
    """Return where the server answers for its health, by the variables that tell the server."""
    if review_port := os.environ.get("DECK_REVIEW_LISTEN_PORT"):
        return f"http://127.0.0.1:{review_port}/api/health"
    port, route = os.environ.get("AIP_HTTP_PORT") or "8080", os.environ.get("AIP_HEALTH_ROUTE") or "/health"
    return f"http://127.0.0.1:{port}{route}"


def answers(url: str) -> bool:
    """Say whether a URL is answered by 200."""
    try:
        with urlopen(url, timeout=LIMIT_SECONDS) as response:  # noqa: S310  # http, to this very machine
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


if __name__ == "__main__":
    main()
