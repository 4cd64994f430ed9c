"""What a run needs beside its parameters, looked up before anything is paid for."""

import concurrent.futures
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pagemill.cloud.prerequisites.accounts import check_account
from pagemill.cloud.prerequisites.buckets import check_buckets
from pagemill.cloud.prerequisites.findings import Finding, Verdict, failed, refused, unknown
from pagemill.cloud.prerequisites.images import check_images
from pagemill.cloud.prerequisites.kubeflow import check_cluster, check_host
from pagemill.cloud.prerequisites.needs import Needs
from pagemill.cloud.prerequisites.project import check_apis, check_project, know_project
from pagemill.cloud.prerequisites.quota import check_quota
from pagemill.cloud.prerequisites.reading import check_reader
from pagemill.cloud.prerequisites.secrets import check_secrets
from pagemill.errors import UserError
from pagemill.google_apis import GoogleApis, GoogleError
from pagemill.presets import Preset
from pagemill.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Check = Callable[[Needs], Iterable[Finding]]

ATTEMPT_SECONDS = 5.0  # for one answer; there are two attempts
ATTEMPTS = 2
TIME_LIMIT_SECONDS = 20.0

CHECKS: dict[str, dict[str, Check]] = {  # by backend, each with what it is called while it has found nothing
    "vertex": {
        "project": check_project,
        "APIs": check_apis,
        "quota": check_quota,
        "endpoint or model": check_reader,
        "buckets": check_buckets,
        "images": check_images,
        "service account": check_account,
        "secrets": check_secrets,
    },
    "kfp": {
        "Kubeflow Pipelines": check_host,
        "buckets": check_buckets,
        "endpoint": check_reader,
        "images": check_images,
        "secrets": check_secrets,
        "cluster": check_cluster,
    },
}
STYLES = {Verdict.OK: "green", Verdict.FAILED: "red", Verdict.UNKNOWN: "yellow"}


def check_prerequisites(
    settings: Settings,
    preset: Preset,
    parameters: Mapping[str, Any],
    *,
    ocr: str = "worker",
    time_limit_seconds: float = TIME_LIMIT_SECONDS,
) -> list[Finding]:
    """Look whether a run could work, without starting or changing anything, and without reading a secret.

    Args:
        settings: Where it is to run.
        preset: On which machines.
        parameters: Of the pipeline.
        ocr: How pages are read: `worker`, `endpoint` or `batch-prediction`.
        time_limit_seconds: After so long, what has not been found out is unknown.

    Returns:
        What was found, in the order of `CHECKS`. One that failed is a reason not to submit.
    """
    apis = GoogleApis(quota_project=settings.vertex.project, attempts=ATTEMPTS, timeout_seconds=ATTEMPT_SECONDS)
    needs = Needs(settings, preset, parameters, ocr, apis)
    if settings.to == "vertex":
        if not needs.project:
            return [failed("project", "is not set", "set vertex.project in pagemill.toml, or give --project")]
        try:
            apis.sign_in()
        except UserError as mistake:
            return [failed(mistake.subject, mistake.reason, mistake.mend)]
        except OSError as error:
            return [failed("Google", f"no answer ({type(error).__name__})", "check the network")]
        needs = know_project(needs)
    return _all_findings(CHECKS[settings.to], needs, time_limit_seconds)


def findings_table(findings: Iterable[Finding]) -> "Table":
    """Return findings as a table, without what mends them."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title in ("", "Prerequisite", "Finding"):
        table.add_column(title, overflow="fold")
    for each in findings:
        table.add_row(Text(each.verdict, STYLES[each.verdict]), Text(each.subject), Text(each.reason))
    return table


def print_findings(findings: Sequence[Finding], console: "Console") -> None:
    """Print findings that are not well as a table, below it what mends them, each in one line, and count the others."""
    from rich.text import Text

    told = [each for each in findings if each.verdict is not Verdict.OK]
    if told:
        console.print(findings_table(told))
    for each in told:
        if each.mend:
            console.print(Text.assemble((f"{each.subject}: ", STYLES[each.verdict]), each.mend), soft_wrap=True)
    if well := len(findings) - len(told):
        console.print(f"{well} {'check is' if well == 1 else 'checks are'} well", style=STYLES[Verdict.OK])


def _all_findings(checks: Mapping[str, Check], needs: Needs, time_limit_seconds: float) -> list[Finding]:
    """Make checks side by side and return what they found in time, in their order."""
    pool = concurrent.futures.ThreadPoolExecutor(len(checks), "prerequisite")
    running = {name: pool.submit(_found, name, check, needs) for name, check in checks.items()}
    done, _ = concurrent.futures.wait(running.values(), time_limit_seconds)
    pool.shutdown(wait=False, cancel_futures=True)  # its requests end by their own limits
    findings: list[Finding] = []
    for name, future in running.items():
        late = [unknown(name, f"no answer within {time_limit_seconds:g} s", "try again")]
        findings += future.result() if future in done else late
    return findings


def _found(name: str, check: Check, needs: Needs) -> list[Finding]:
    """Return what a check finds; what keeps it from looking is a finding too, and no reason to stop."""
    found = []
    try:
        for each in check(needs):
            found.append(each)
    except GoogleError as error:
        found.append(refused(name, error))
    except UserError as mistake:
        found.append(unknown(name, f"{mistake.subject}: {mistake.reason}", mistake.mend))
    except OSError as error:
        found.append(unknown(name, f"no answer ({type(error).__name__})", "try again"))
    return found
