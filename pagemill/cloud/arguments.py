"""What a run's arguments come to before it starts: the state of its source and the content of its profile are named."""

from collections.abc import Mapping
from typing import Any


def settle(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pipeline's arguments with names in place of what may change under it.

    `source_fingerprint`, where it is empty, becomes the digest of the archives at the source as they are now. A
    profile that is a file is kept in the store, and the argument becomes its name there, which follows from its
    content: so a changed file is no cached task's input.

    Raises:
        UserError: The source or the profile cannot be read.
    """
    settled = dict(arguments)
    if "source" in settled:
        settled["source_fingerprint"] = settled.get("source_fingerprint") or _fingerprint(settled)
    if "profile" in settled:
        settled["profile"] = _kept_profile(settled)
    return settled


def _fingerprint(arguments: Mapping[str, Any]) -> str:
    from pagemill.archives import fingerprint_of

    return fingerprint_of(arguments["source"], arguments["pattern"])


def _kept_profile(arguments: Mapping[str, Any]) -> str:
    from pagemill.storage import Store
    from pagemill.text.judging.profile import keep_profile, load_profile, shipped_profiles

    profile: str = arguments["profile"]
    return profile if profile in shipped_profiles() else keep_profile(load_profile(profile), Store(arguments["store"]))
