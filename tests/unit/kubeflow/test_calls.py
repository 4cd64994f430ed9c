"""Calls to Kubeflow Pipelines: tried again where that may help, told in one line where not, signed in, and quiet."""

import contextlib
import json
import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pagemill.cloud.backend import Unreachable
from pagemill.cloud.kubeflow import KfpBackend
from pagemill.errors import UserError
from tests.kfp_service import Kfp
from tests.unit.kubeflow.conftest import BOOKS, ORDER, PARAMETERS, ROOT, TOKEN, settings


class TestTrouble:
    @pytest.mark.parametrize("status", [429, 503])
    def test_an_overloaded_service_is_asked_again(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float], status: int
    ) -> None:
        kfp.fail_next(status, 2, method="POST", path="/runs", headers={"Retry-After": "7"})
        backend.submit(ORDER)
        assert len(kfp.runs) == 1
        assert waits == [7.0, 7.0]

    def test_waits_grow(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(502, 3, method="GET", path="/runs")
        assert backend.runs() == []
        assert 0.5 <= waits[0] <= 1.0 <= waits[1] <= 1.5 < 2.0 <= waits[2] <= 2.5

    def test_patience_ends(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(429, 99)
        with pytest.raises(Unreachable, match=r"gets too many requests \(injected\); wait a few minutes"):
            backend.runs()
        assert len(waits) == 4

    def test_a_lost_answer_is_asked_for_again(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(0, method="GET")
        assert backend.runs() == []
        assert len(waits) == 1

    def test_one_that_never_comes_is_told(self, kfp: Kfp, backend: KfpBackend, waits: list[float]) -> None:
        kfp.fail_next(0, 99)
        with pytest.raises(Unreachable, match="does not answer; set"):
            backend.runs()
        assert len(waits) == 4

    @pytest.mark.parametrize(("status", "may_pass"), [(500, True), (504, True), (403, False), (404, False)])
    def test_what_may_pass_is_told_from_what_will_not(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float], status: int, may_pass: bool
    ) -> None:
        kfp.fail_next(status, 99)
        with pytest.raises(UserError) as told:
            backend.runs()
        assert isinstance(told.value, Unreachable) == may_pass

    def test_a_run_is_never_started_twice_when_its_answer_is_lost(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float]
    ) -> None:
        kfp.fail_next(0, method="POST", path="/runs", done_first=True)
        with pytest.raises(UserError, match="it may have taken place; look there before you ask again"):
            backend.submit(ORDER)
        assert len(kfp.runs) == 1
        assert waits == []

    @pytest.mark.parametrize("status", [500, 504])
    def test_nor_when_it_is_not_known_whether_a_failing_service_has_started_it(
        self, kfp: Kfp, backend: KfpBackend, status: int
    ) -> None:
        kfp.fail_next(status, method="POST", path="/runs", done_first=True)
        with pytest.raises(UserError, match=r"it may have taken place; look there before you ask again"):
            backend.submit(ORDER)
        assert len(kfp.runs) == 1

    @pytest.mark.parametrize(
        ("status", "message"),
        [
            (400, "is refused (injected); correct what it names"),
            (403, "is not allowed (injected); ask for the role kubeflow-edit"),
            (404, "is not there (injected); `pagemill status`"),
            (409, "conflicts with what is there (injected)"),
            (500, "cannot do it now (injected); ask again later"),
        ],
    )
    def test_a_refusal_is_one_line_with_the_mend(
        self, kfp: Kfp, backend: KfpBackend, status: int, message: str
    ) -> None:
        kfp.fail_next(status)
        with pytest.raises(UserError, match=re.escape(f"run abc: {message}")):
            backend.run("abc")

    def test_what_is_not_there_is_said_so(self, backend: KfpBackend) -> None:
        for ask in (backend.run, backend.cancel, backend.retry):
            with pytest.raises(UserError, match=r"run abc: is not there \(Run abc not found\.\)"):
                ask("abc")
        for change in (backend.pause, backend.resume, backend.delete_schedule):
            with pytest.raises(UserError, match="schedule abc: is not there"):
                change("abc")

    def test_another_namespace_is_refused(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"runs: is not allowed .* namespace theirs"):
            KfpBackend(settings(kfp, namespace="theirs")).runs()

    def test_a_host_that_does_not_answer_is_named(self, kfp: Kfp, waits: list[float]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match=f"Kubeflow Pipelines at {host}: does not answer; set kfp.host"):
            KfpBackend(settings(kfp, host=host)).runs()
        assert len(waits) == 4

    def test_a_host_that_speaks_no_tls_is_named(self, kfp: Kfp) -> None:
        host = kfp.endpoint.replace("http:", "https:")
        with pytest.raises(UserError, match="cannot be spoken to"):
            KfpBackend(settings(kfp, host=host)).runs()

    def test_a_host_that_is_none_is_named(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"cannot be spoken to .*; set kfp\.host"):
            KfpBackend(settings(kfp, host="http://[kfp")).runs()

    def test_a_host_without_a_scheme_is_one_of_https(self, kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        monkeypatch.setattr(
            "kfp_server_api.rest.urllib3.PoolManager.request", lambda pool, method, url, **rest: asked.append(url)
        )
        with contextlib.suppress(Exception):
            KfpBackend(settings(kfp, host="kfp.example")).runs()
        assert asked == ["https://kfp.example/apis/v2beta1/runs"]

    def test_a_host_has_to_be_set(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"kfp\.host: is not set"):
            KfpBackend(settings(kfp, host="")).runs()

    @pytest.mark.parametrize("answer", [{"status": 200}, {"status": 302, "headers": {"Location": "/signin"}}])
    def test_a_page_to_sign_in_is_no_answer(self, kfp: Kfp, backend: KfpBackend, answer: dict[str, Any]) -> None:
        kfp.fail_next(page="<html>Sign in</html>", **answer)
        with pytest.raises(UserError, match=r"answers with a page, not as the API; .*if it asks to sign in"):
            backend.run("abc")

    def test_a_host_without_the_api_is_named(self, kfp: Kfp, backend: KfpBackend) -> None:
        kfp.fail_next(404, page="<html>nginx</html>")
        with pytest.raises(UserError, match=r"has no such API; set kfp\.host"):
            backend.runs()


class TestSigningIn:
    def test_the_token_is_borne(self, kfp: Kfp, backend: KfpBackend) -> None:
        backend.runs()
        assert {each.authorization for each in kfp.requests} == {f"Bearer {TOKEN}"}

    def test_a_wrong_token_is_told_without_telling_it(self, kfp: Kfp) -> None:
        with pytest.raises(UserError, match=r"does not take the sign-in .*; set PAGEMILL_KFP__TOKEN") as caught:
            KfpBackend(settings(kfp, token=SecretStr("wrong-secret"))).runs()
        assert "wrong-secret" not in str(caught.value)

    @pytest.mark.parametrize("token", ["two words", "line\nbreak", "naïve"])
    def test_what_can_be_no_token_is_refused_without_telling_it(self, kfp: Kfp, token: str) -> None:
        with pytest.raises(UserError, match=r"kfp\.token: is no token") as caught:
            KfpBackend(settings(kfp, token=SecretStr(token))).runs()
        assert token not in str(caught.value)

    def test_a_line_break_after_the_token_does_no_harm(self, kfp: Kfp) -> None:
        assert KfpBackend(settings(kfp, token=SecretStr(f"{TOKEN}\n"))).runs() == []

    @pytest.fixture
    def google(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """A Google account behind the inverse proxy that Google runs: the tokens that it gives next."""
        tokens: list[str] = []
        monkeypatch.setattr("kfp.client.auth.get_gcp_access_token", lambda: tokens.pop(0))
        monkeypatch.setattr("kfp.client.client.Client._is_inverse_proxy_host", lambda client, host: True)
        return tokens

    def test_without_a_token_the_google_account_signs_in(self, kfp: Kfp, google: list[str]) -> None:
        google.append(TOKEN)
        KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert kfp.requests[-1].authorization == f"Bearer {TOKEN}"

    def test_a_sign_in_that_is_over_is_renewed(self, kfp: Kfp, google: list[str]) -> None:
        google += [TOKEN, "the-next"]
        backend = KfpBackend(settings(kfp, token=SecretStr("")))
        backend.runs()
        kfp.token = "the-next"
        backend.runs()
        assert google == []

    def test_no_google_account_is_told_in_one_line(
        self, kfp: Kfp, google: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        kfp.fail_next(302, headers={"Location": "https://accounts.google.com"})
        monkeypatch.setattr("kfp.client.auth.get_gcp_access_token", lambda: logging.warning("no account"))
        with pytest.raises(UserError, match="application-default login"):
            KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert caplog.messages == []

    def test_iap_signs_in_by_the_client_id_of_the_environment(self, kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
        from google.auth.exceptions import DefaultCredentialsError

        def sign_in(client_id: str, *others: str | None) -> tuple[str, bool]:
            if client_id == "none":
                raise DefaultCredentialsError("no account")
            return f"{TOKEN}" if client_id == "iap" else "", False

        monkeypatch.setattr("kfp.client.auth.get_auth_token", sign_in)
        monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "iap")
        KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert kfp.requests[-1].authorization == f"Bearer {TOKEN}"
        monkeypatch.setenv("KF_PIPELINES_IAP_OAUTH2_CLIENT_ID", "none")
        with pytest.raises(UserError, match="cannot be signed in to with a Google account; set PAGEMILL_KFP__TOKEN"):
            KfpBackend(settings(kfp, token=SecretStr(""))).runs()

    def test_one_that_never_was_is_not(self, kfp: Kfp, google: list[str]) -> None:
        google += ["wrong", TOKEN]
        with pytest.raises(UserError, match="does not take the sign-in"):
            KfpBackend(settings(kfp, token=SecretStr(""))).runs()
        assert google == [TOKEN]


class TestQuiet:
    def test_nothing_is_printed_logged_or_written_to_the_home(self, kfp: Kfp, tmp_path: Path) -> None:
        script = (
            "import json, sys; from pathlib import Path; from pagemill.cloud.backend import Submission\n"
            "from pagemill.cloud.kubeflow import KfpBackend; from pagemill.settings import KfpSettings\n"
            "backend = KfpBackend(KfpSettings(host=sys.argv[1], token=sys.argv[2]))\n"
            "order = Submission(Path(sys.argv[3]), 'book-dataset', json.loads(sys.argv[4]), 'quiet')\n"
            "backend.run(backend.submit(order).id)"
        )
        arguments = [kfp.endpoint, TOKEN, str(BOOKS), json.dumps(PARAMETERS)]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, env=environment
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert list(tmp_path.rglob("*")) == []
        assert len(kfp.runs) == 1

    def test_the_context_of_another_client_does_not_count(self, kfp: Kfp, monkeypatch: pytest.MonkeyPatch) -> None:
        import kfp.client as library

        path = Path(os.environ["HOME"]) / "context.json"
        path.write_text(json.dumps({"namespace": "elsewhere", "client_authentication_cookie": "theirs"}))
        monkeypatch.setattr(library.Client, "_LOCAL_KFP_CONTEXT", str(path))
        KfpBackend(settings(kfp)).runs()
        assert kfp.requests[-1].query["namespace"] == "kubeflow"

    def test_what_is_waited_for_is_logged_without_secrets(
        self, kfp: Kfp, backend: KfpBackend, waits: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        kfp.fail_next(503)
        with caplog.at_level(logging.INFO):
            backend.runs()
        assert caplog.messages == ["Kubeflow Pipelines: 503; trying again in 1 s"]

    def test_kfp_is_loaded_when_it_is_asked(self) -> None:
        script = "import sys, pagemill.cloud.kubeflow as room; from pagemill.settings import KfpSettings\n"
        script += (
            "room.KfpBackend(KfpSettings()); print([name for name in ('kfp', 'kfp_server_api') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout == "[]\n"
