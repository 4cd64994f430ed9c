"""The models of a batch behind their servers: each made when it is asked for, and asked whether it answers at all."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pagemill.decks.models.chat import ChatModel  # loads the clients of both protocols


class ModelServers:
    """Gives models by capability.

    Args:
        servers: URL and model's name, by capability.
        key: Name of the secret that they all want; "" for none.
    """

    def __init__(self, servers: Mapping[str, tuple[str, str]], key: str = "") -> None:
        self._servers = dict(servers)
        self._key = key
        self._models: dict[str, ChatModel] = {}

    def __call__(self, capability: str) -> "ChatModel":
        """Return the model; raises UserError where its address or the secret's name is none."""
        if capability not in self._models:
            self._models[capability] = self._made(capability)
        return self._models[capability]

    def answers(self, capability: str) -> bool:
        """Say whether the model answers a tiny question now; raises UserError where its server refuses it."""
        return self._made(capability).ready()

    def _made(self, capability: str) -> "ChatModel":
        from pagemill.decks.models.chat import ChatModel

        url, name = self._servers[capability]
        return ChatModel(url, name, self._key)
