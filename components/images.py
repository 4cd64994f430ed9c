"""The container images that components run in; their tag is the package's version."""

from pagemill import __version__

REGISTRY = "ghcr.io/pagemill"
NAMES = ("pipeline", "nougat")


def reference(name: str, registry: str = REGISTRY, digest: str = "") -> str:
    """Return how an image is asked for: by its digest, or by the version's tag when that is empty."""
    return f"{registry}/{name}@{digest}" if digest else f"{registry}/{name}:{__version__}"


PIPELINE = reference("pipeline")
NOUGAT = reference("nougat")
