"""The container images that components run in; their tag is the package's version."""

from pagemill import __version__

REGISTRY = "ghcr.io/pagemill"

PIPELINE = f"{REGISTRY}/pipeline:{__version__}"
NOUGAT = f"{REGISTRY}/nougat:{__version__}"
