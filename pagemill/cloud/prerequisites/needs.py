"""What a run needs, as the checks of its prerequisites are told."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pagemill.cloud.prerequisites.policies import UNSEEN, Policy
from pagemill.google_apis import GoogleApis
from pagemill.presets import Preset
from pagemill.settings import Settings

WRITTEN_PARAMETERS = ("store", "publish")


@dataclasses.dataclass(frozen=True, slots=True)
class Needs:
    """What a run needs, and by what it can be looked up."""

    settings: Settings
    preset: Preset
    parameters: Mapping[str, Any]
    ocr: str
    apis: GoogleApis
    account: str = ""  # e-mail of the service account that tasks run as; "" where it is not known
    policy: Policy = UNSEEN  # of the project

    @property
    def project(self) -> str:
        """The Google Cloud project's id."""
        return self.settings.vertex.project

    @property
    def buckets(self) -> list[str]:
        """Names of the buckets that the run writes to."""
        places = [self.settings.bucket, *(str(self.parameters.get(name, "")) for name in WRITTEN_PARAMETERS)]
        names = [each.removeprefix("gs://").partition("/")[0] for each in places if each.startswith("gs://")]
        return list(dict.fromkeys(names))

    def secrets(self) -> Iterator[tuple[str, str]]:
        """Yield parameter and name of every secret that the run reads."""
        if str(self.parameters.get("publish", "")).startswith("hf://"):
            yield "hf_token", str(self.parameters.get("hf_token") or self.settings.hf_token)
        for name in ("passwords", "model_key"):
            if reference := str(self.parameters.get(name, "")):
                yield name, reference
