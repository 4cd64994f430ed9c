"""Whether as many GPUs may be had as a run takes at a time."""

from collections.abc import Iterator, Mapping
from typing import Any

from pagemill.cloud.prerequisites.findings import Finding, failed, ok, unknown
from pagemill.cloud.prerequisites.needs import Needs

QUOTAS = "https://cloudquotas.googleapis.com/v1/projects"
# Quotas of custom jobs on Vertex AI, which are none of Compute Engine's. Spot and Flex-start draw on the preemptible.
QUOTA_NAMES = {"nvidia-tesla-a100": "A100GPUs", "nvidia-a100-80gb": "A10080GBGPUs"}
UNLIMITED = -1


def check_quota(needs: Needs) -> Iterator[Finding]:
    """Look whether as many GPUs as the run takes at a time may be had in the region, when none is in use."""
    preset, region = needs.preset, needs.settings.vertex.region
    if not preset.accelerators or needs.ocr == "endpoint":
        return  # the endpoint's GPUs are there already
    subject = f"quota for {preset.accelerator} in {region}"
    if needs.ocr != "worker" or preset.accelerator not in QUOTA_NAMES:
        look = f"gcloud beta quotas info list --service=aiplatform.googleapis.com --project={needs.project}"
        yield unknown(subject, f"which quota {needs.ocr} draws on for it is not known here", look)
        return
    wanted = preset.accelerators * _at_a_time(needs)
    quota = _quota_name(needs)
    url = f"{QUOTAS}/{needs.project}/locations/global/services/aiplatform.googleapis.com/quotaInfos/{quota}"
    limit = _limit(needs.apis.get(url), region)
    if limit == UNLIMITED or limit >= wanted:
        yield ok(subject, f"{'no limit' if limit == UNLIMITED else limit}, {wanted} at a time are wanted ({quota})")
        return
    mend = f"ask for {wanted} {_ask_for_quota(needs, quota, wanted)}"
    fewer = limit // preset.accelerators
    mend += f", or give max_shards={fewer}" if fewer else ", or choose another region or preset"
    yield failed(subject, f"{limit}, but {wanted} at a time are wanted ({quota})", mend)


def _quota_name(needs: Needs) -> str:
    kind = "" if needs.preset.provisioning == "STANDARD" else "Preemptible"
    return f"CustomModelTraining{kind}{QUOTA_NAMES[needs.preset.accelerator]}PerProjectPerRegion"


def _at_a_time(needs: Needs) -> int:
    """Return how many machines run at once."""
    shards = int(needs.parameters.get("max_shards") or needs.preset.max_shards)
    return min(shards, needs.preset.parallelism or shards)


def _limit(quota: Mapping[str, Any], region: str) -> int:
    """Return what a quota allows in a region; it may say so for a region alone, or for all that it does not name."""
    for each in quota.get("dimensionsInfos", ()):
        if region in each.get("applicableLocations", ()):
            return int(each.get("details", {}).get("value", 0))
    return 0


def _ask_for_quota(needs: Needs, quota: str, wanted: int) -> str:
    return (
        f"by gcloud beta quotas preferences create --service=aiplatform.googleapis.com --project={needs.project} "
        f"--quota-id={quota} --preferred-value={wanted} --dimensions=region={needs.settings.vertex.region}"
    )
