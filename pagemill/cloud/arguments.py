"""What a run's arguments come to before it starts: the state of its source, and the content of files that it reads."""

import importlib
from collections.abc import Mapping
from typing import Any

FINGERPRINTS = {  # by pipeline, where the function lies that tells the state of a source
    "book-dataset": "pagemill.archives",
    "deck-review": "pagemill.decks.batch.collecting",
}


def settle(pipeline: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pipeline's arguments with names in place of what may change under it.

    `source_fingerprint`, where it is empty, becomes the digest of the files at the source as they are now. A profile
    or template that is a file is kept in the store, and the argument becomes its name there, which follows from its
    content: so a changed file is no cached task's input.

    Raises:
        UserError: The source, the profile or the template cannot be read.
    """
    settled = dict(arguments)
    if "source" in settled:
        settled["source_fingerprint"] = settled.get("source_fingerprint") or _fingerprint(pipeline, settled)
    for name, kept in (("profile", _kept_profile), ("template", _kept_template)):
        if name in settled:
            settled[name] = kept(settled[name], settled["store"])
    return settled


def _fingerprint(pipeline: str, arguments: Mapping[str, Any]) -> str:
    tell = importlib.import_module(FINGERPRINTS[pipeline]).fingerprint_of
    return str(tell(arguments["source"], arguments["pattern"]))


def _kept_profile(profile: str, store: str) -> str:
    from pagemill.storage import Store
    from pagemill.text.judging.profile import keep_profile, load_profile, shipped_profiles

    return profile if profile in shipped_profiles() else keep_profile(load_profile(profile), Store(store))


def _kept_template(template: str, store: str) -> str:
    from pagemill.decks.template import SHIPPED, keep_template, load_template
    from pagemill.storage import Store

    return template if template == SHIPPED else keep_template(load_template(template), Store(store))
