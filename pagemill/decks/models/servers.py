"""Where a model's server is, and the clients that speak to it in OpenAI's way and in Ollama's."""

import functools
from urllib.parse import urlsplit

import httpx
import ollama
import openai

from pagemill.errors import UserError
from pagemill.secrets import check_reference, read_secret

NO_KEY = "none"  # both clients would take one from the environment otherwise, and send it to whatever server this is
CONNECT_SECONDS = 10.0
QUICK_SECONDS = 30.0  # for what a server only looks up
SILENCE_SECONDS = 600.0


class Server:
    """A model server; its clients try nothing twice by themselves.

    Args:
        base_url: Of its OpenAI routes, such as http://127.0.0.1:11434/v1; without a path, /v1 is meant.
        key: Name of the secret that it wants as a bearer token; "" for none.

    Raises:
        UserError: The URL or the secret's name is none.
    """

    def __init__(self, base_url: str, key: str = "") -> None:
        parts = urlsplit(base_url)
        if "@" in parts.netloc:
            raise UserError("model URL", "it holds a password", "leave it out, and name the secret with a key")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError("model URL", "not an address of HTTP", "write it like http://127.0.0.1:11434/v1")
        if key:
            check_reference(key, "model key")
        self.root = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"
        self.base_url = base_url.rstrip("/") if parts.path.strip("/") else f"{self.root}/v1"
        self.key = key

    def __str__(self) -> str:
        return self.base_url

    @functools.cached_property
    def openai_client(self) -> openai.OpenAI:
        """The client of its OpenAI routes."""
        return openai.OpenAI(base_url=self.base_url, api_key=self._token, max_retries=0)

    @functools.cached_property
    def ollama_client(self) -> ollama.Client:
        """The client of Ollama's own routes, for a server that is one."""
        return self._ollama(QUICK_SECONDS)

    @functools.cached_property
    def ollama_loader(self) -> ollama.Client:
        """The same for loading a model, and for pulling one, after which Ollama checks it without a word."""
        return self._ollama(SILENCE_SECONDS)

    def _ollama(self, silence_seconds: float) -> ollama.Client:
        limits = httpx.Timeout(silence_seconds, connect=CONNECT_SECONDS)
        return ollama.Client(self.root, headers={"Authorization": f"Bearer {self._token}"}, timeout=limits)

    @functools.cached_property
    def _token(self) -> str:
        return read_secret(self.key).strip() if self.key else NO_KEY
