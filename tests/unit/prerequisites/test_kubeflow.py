"""What is looked up before a run on Kubeflow Pipelines, and how findings are shown."""

import io
from typing import Any

import google.auth
import google.auth.exceptions
import pytest
from rich.console import Console

from pagemill import __version__
from pagemill.cloud.prerequisites import Finding, Verdict, check_prerequisites, findings_table, print_findings
from pagemill.google_apis import GoogleApis
from pagemill.presets import PRESETS
from tests.google_cloud import GoogleCloud
from tests.unit.prerequisites.conftest import (
    PARAMETERS,
    kfp_settings,
)


class TestKfp:
    def found(self, cloud: GoogleCloud, **changes: Any) -> dict[str, Finding]:
        findings = check_prerequisites(kfp_settings(cloud, **changes), PRESETS["gke-a100"], PARAMETERS)
        return {each.subject: each for each in findings}

    def test_what_cannot_be_seen_from_outside_is_named_with_the_command_that_looks(self, cloud: GoogleCloud) -> None:
        findings = self.found(cloud)
        assert not any(each.failed for each in findings.values())
        unseen = {subject: each.mend for subject, each in findings.items() if each.verdict is Verdict.UNKNOWN}
        assert unseen["Kubernetes secret pagemill with HF_TOKEN"] == (
            "kubectl describe secret pagemill --namespace kubeflow"
        )
        assert "kubectl get nodes" in unseen["node pool of a2-highgpu-1g with 1 nvidia-tesla-a100"]
        account = "what Google lets the Kubernetes account pipeline-runner do"
        assert "kubectl describe serviceaccount pipeline-runner" in unseen[account]
        assert len(unseen) == 3

    def test_a_host_that_does_not_answer(self, cloud: GoogleCloud) -> None:
        host = "http://127.0.0.1:9"
        finding = self.found(cloud, kfp={"host": host})[f"host {host}"]
        assert finding.failed
        assert "kubectl port-forward" in finding.mend

    def test_no_host(self, cloud: GoogleCloud) -> None:
        assert self.found(cloud, kfp={"host": ""})["host"].failed

    def test_one_that_asks_for_a_login(self, cloud: GoogleCloud) -> None:
        cloud.kfp_login = "secret-bearer"
        refused = self.found(cloud)[f"host {cloud.address}/kfp"]
        assert (refused.failed, refused.reason) == (True, "asks for a login (401)")
        accepted = self.found(cloud, kfp={"token": "secret-bearer"})
        assert accepted[f"host {cloud.address}/kfp"].verdict is Verdict.OK
        assert "secret-bearer" not in repr(accepted)
        assert self.found(cloud, kfp={"token": "secret-bearer\n"}) == accepted

    def test_a_host_without_a_scheme_is_one_of_https(self, cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        send = GoogleApis.send

        def note(apis: GoogleApis, method: str, url: str, **request: Any) -> Any:
            asked.append(url)
            return send(apis, method, url, **request)

        monkeypatch.setattr(GoogleApis, "send", note)
        self.found(cloud, kfp={"host": "kfp.example/"})
        assert "https://kfp.example/apis/v2beta1/healthz" in asked

    @pytest.mark.parametrize("multi_user", [False, True])
    def test_a_namespace_is_named_where_there_are_several(self, cloud: GoogleCloud, multi_user: bool) -> None:
        cloud.kfp_multi_user = multi_user
        assert self.found(cloud)["namespace kubeflow"].verdict is Verdict.OK

    def test_a_namespace_of_somebody_else(self, cloud: GoogleCloud) -> None:
        cloud.failures = [("/experiments", 403)]
        assert self.found(cloud)["namespace kubeflow"].failed

    def test_a_private_registry_may_be_known_to_the_cluster(self, cloud: GoogleCloud) -> None:
        cloud.private_registries = {"ghcr.io"}
        finding = self.found(cloud, images={"registry": "ghcr.io/pagemill"})[
            f"image ghcr.io/pagemill/nougat:{__version__}"
        ]
        assert finding.verdict is Verdict.UNKNOWN
        assert "kubectl get secrets" in finding.mend

    def test_without_a_google_account_the_rest_is_still_looked_at(
        self, cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nobody(*args: object, **options: object) -> None:
            raise google.auth.exceptions.DefaultCredentialsError

        monkeypatch.delenv("PAGEMILL_GOOGLE_APIS")
        monkeypatch.setattr(google.auth, "default", nobody)
        findings = self.found(cloud)
        assert findings[f"host {cloud.address}/kfp"].verdict is Verdict.OK
        assert findings["buckets"].reason == "Google account: nobody is signed in"


class TestPrinting:
    FINDINGS = (
        Finding("image [a]", Verdict.OK, "is there"),
        Finding("quota", Verdict.FAILED, "0, but 8 are wanted", f"gcloud {'x' * 200}"),
    )

    def test_the_table_says_how_each_stands(self) -> None:
        screen = io.StringIO()
        Console(file=screen, width=100).print(findings_table(self.FINDINGS))
        rows = [line.split() for line in screen.getvalue().splitlines()]
        assert rows[1:] == [
            ["ok", "image", "[a]", "is", "there"],
            ["failed", "quota", "0,", "but", "8", "are", "wanted"],
        ]

    def test_a_mend_is_one_line_to_copy(self) -> None:
        assert f"quota: gcloud {'x' * 200}" in self.printed(*self.FINDINGS)

    def test_what_is_well_is_counted(self) -> None:
        lines = self.printed(*self.FINDINGS)
        assert lines[-1] == "1 check is well"
        assert "image [a]" not in "".join(lines)
        assert self.printed(self.FINDINGS[0], self.FINDINGS[0]) == ["2 checks are well"]

    def printed(self, *findings: Finding) -> list[str]:
        screen = io.StringIO()
        print_findings(findings, Console(file=screen, width=60))
        return screen.getvalue().splitlines()
