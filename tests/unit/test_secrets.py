"""Secrets: where they are read from, what is said when they cannot be, and that their values show nowhere."""

import base64
import logging
from collections.abc import Iterator

import google.auth
import google.auth.exceptions
import google.oauth2.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagemill import google_apis
from pagemill.archives.passwords import read_passwords
from pagemill.dataset.publish import check_target, publish_dataset
from pagemill.errors import UserError
from pagemill.google_apis import GoogleApis, GoogleError
from pagemill.secrets import check_reference, read_secret
from pagemill.storage import Store
from tests.built_dataset import built
from tests.google_cloud import PROJECT, GoogleCloud, Secret
from tests.google_server import google_server
from tests.hub import Hub

VALUE = "hunter2-and-some-more"
NAME = f"projects/{PROJECT}/secrets/hf-token"
REFERENCE = f"secret:{NAME}"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[GoogleCloud]:
    """Google's APIs, with one secret of two versions."""
    with google_server() as cloud:
        cloud.secrets[NAME] = Secret([(b"an older value", "ENABLED"), (VALUE.encode(), "ENABLED")])
        monkeypatch.setenv("PAGEMILL_GOOGLE_APIS", cloud.address)
        yield cloud


class TestEnvironment:
    def test_a_variable_is_read_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TOKEN", " as it is\n")
        assert read_secret("env:TOKEN") == " as it is\n"

    def test_one_that_is_not_set_is_named(self) -> None:
        with pytest.raises(UserError, match="env:NO_SUCH_VARIABLE: is not set; set the environment variable"):
            read_secret("env:NO_SUCH_VARIABLE")


class TestReferences:
    @pytest.mark.parametrize(
        "reference", ["env:HF_TOKEN", REFERENCE, f"{REFERENCE}/versions/7", "secret:projects/12345/secrets/a_b-c"]
    )
    def test_names_are_taken(self, reference: str) -> None:
        check_reference(reference)

    @given(st.sampled_from(["", "env:", "secret:", REFERENCE]), st.text())
    def test_what_is_no_name_is_not_quoted(self, prefix: str, text: str) -> None:
        with pytest.raises(UserError) as refused:
            check_reference(f"{prefix} {text}", "hf_token")
        assert str(refused.value) == (
            "hf_token: not the name of a secret; write env:NAME or secret:projects/P/secrets/S"
        )

    def test_a_token_given_in_place_of_its_name_is_refused(self) -> None:
        for here in (True, False):
            with pytest.raises(UserError, match="hf_token: not the name of a secret") as refused:
                check_target("hf://tester/books", VALUE, here=here)
            assert VALUE not in repr(refused.value)


class TestSecretManager:
    def test_the_latest_version_is_read(self, cloud: GoogleCloud) -> None:
        assert read_secret(REFERENCE) == VALUE
        assert cloud.requests == [f"GET secretmanager.googleapis.com/v1/{NAME}/versions/latest:access"]

    def test_another_version_is_read_by_its_number(self, cloud: GoogleCloud) -> None:
        assert read_secret(f"{REFERENCE}/versions/1") == "an older value"

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_passing_failure_is_waited_out(self, cloud: GoogleCloud, waits: list[float], status: int) -> None:
        cloud.failures = [(":access", status), (":access", status)]
        assert read_secret(REFERENCE) == VALUE
        assert len(waits) == 2

    def test_a_failure_that_does_not_pass_is_raised(self, cloud: GoogleCloud, waits: list[float]) -> None:
        cloud.failures = [(":access", 503)] * 20
        with pytest.raises(GoogleError, match="503 UNAVAILABLE: Injected"):
            read_secret(REFERENCE)
        assert len(waits) == 5

    def test_a_damaged_payload_is_refused(self, cloud: GoogleCloud) -> None:
        cloud.secrets[NAME].checksum = 1
        with pytest.raises(UserError, match="arrives damaged"):
            read_secret(REFERENCE)
        assert len(cloud.requests) == 3

    def test_bytes_that_are_no_text_are_refused(self, cloud: GoogleCloud) -> None:
        cloud.secrets[NAME].versions.append((b"\xff\xfe\x00hunter2", "ENABLED"))
        with pytest.raises(UserError, match="is not UTF-8") as refused:
            read_secret(REFERENCE)
        assert refused.value.__cause__ is None

    def test_one_that_is_not_there(self, cloud: GoogleCloud) -> None:
        with pytest.raises(UserError, match="no such secret or version; gcloud secrets versions list other --project"):
            read_secret(f"secret:projects/{PROJECT}/secrets/other")
        with pytest.raises(UserError, match="no such secret or version"):
            read_secret(f"{REFERENCE}/versions/9")

    def test_one_that_may_not_be_read_names_the_role(self, cloud: GoogleCloud) -> None:
        cloud.caller_may_not_see = {":access"}
        with pytest.raises(UserError, match=r"may not be read \(roles/secretmanager.secretAccessor is missing\)"):
            read_secret(REFERENCE)

    def test_a_disabled_version(self, cloud: GoogleCloud) -> None:
        cloud.secrets[NAME].versions[-1] = (b"", "DESTROYED")
        with pytest.raises(UserError, match="its version is disabled, destroyed"):
            read_secret(REFERENCE)

    def test_an_api_that_is_not_enabled(self, cloud: GoogleCloud) -> None:
        cloud.disabled_apis = {"secretmanager"}
        with pytest.raises(UserError, match=r"gcloud services enable secretmanager\.googleapis\.com --project"):
            read_secret(REFERENCE)

    def test_nobody_is_signed_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody(*args: object, **options: object) -> None:
            raise google.auth.exceptions.DefaultCredentialsError

        monkeypatch.setattr(google.auth, "default", nobody)
        with pytest.raises(UserError, match="nobody is signed in; gcloud auth application-default login"):
            read_secret(REFERENCE)

    def test_a_login_that_has_run_out(self, cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
        spent = google.oauth2.credentials.Credentials(None)  # and nothing to get another token with
        monkeypatch.setattr(google.auth, "default", lambda *args, **options: (spent, PROJECT))
        monkeypatch.delenv("PAGEMILL_GOOGLE_APIS")
        with pytest.raises(UserError, match="Google gives it no token; gcloud auth application-default login"):
            read_secret(REFERENCE)
        with pytest.raises(UserError, match="Google gives it no token"):
            GoogleApis().sign_in()

    def test_it_signs_as_the_account_that_runs_it(self, cloud: GoogleCloud, monkeypatch: pytest.MonkeyPatch) -> None:
        credentials = google.oauth2.credentials.Credentials("workload-identity")
        monkeypatch.setattr(google.auth, "default", lambda *args, **options: (credentials, PROJECT))
        monkeypatch.delenv("PAGEMILL_GOOGLE_APIS")
        there = cloud.address
        monkeypatch.setattr(google_apis, "redirected", lambda url: f"{there}/{url.removeprefix('https://')}")
        assert read_secret(REFERENCE) == VALUE
        assert cloud.authorizations == {"Bearer workload-identity"}

    @pytest.mark.parametrize(("own", "counted"), [(None, "books"), ("another", "another")])
    def test_a_persons_calls_count_for_a_project(
        self, monkeypatch: pytest.MonkeyPatch, own: str | None, counted: str
    ) -> None:
        person = google.oauth2.credentials.Credentials("token", quota_project_id=own)
        monkeypatch.setattr(google.auth, "default", lambda *args, **options: (person, PROJECT))
        assert GoogleApis(quota_project="books").session.credentials.quota_project_id == counted

    def test_nobody_is_signed_for_where_requests_are_redirected(self, cloud: GoogleCloud) -> None:
        read_secret(REFERENCE)
        assert cloud.authorizations == {""}

    def test_the_value_is_in_no_log_and_no_error(
        self, cloud: GoogleCloud, waits: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for name in ("google", "google.auth", "google.auth.transport.requests", "urllib3"):
            caplog.set_level(logging.DEBUG, name)
        cloud.failures = [(":access", 429)]
        read_secret(REFERENCE)
        cloud.secrets[NAME].checksum = 1
        with pytest.raises(UserError) as refused:
            read_secret(REFERENCE)
        told = caplog.text + str([vars(each) for each in caplog.records]) + repr(refused.value)
        assert ":access" in told
        assert VALUE not in told
        assert base64.b64encode(VALUE.encode()).decode() not in told


class TestUses:
    def test_passwords_of_archives(self, cloud: GoogleCloud) -> None:
        cloud.secrets[NAME].versions.append((b"one\ntwo\n\none\n", "ENABLED"))
        assert list(read_passwords(REFERENCE)) == ["one", "two"]

    def test_the_hubs_token(self, cloud: GoogleCloud, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN")
        cloud.secrets[NAME].versions.append((f"{hub.token}\n".encode(), "ENABLED"))  # as `echo` writes it
        publication = publish_dataset(built(store), store, publish="hf://tester/books", hf_token=REFERENCE)
        assert publication.files_sent == 3
        assert f"Bearer {hub.token}" in hub.authorizations

    def test_a_token_that_the_hub_does_not_accept_is_told_of_by_its_name(
        self, cloud: GoogleCloud, hub: Hub, store: Store
    ) -> None:
        with pytest.raises(UserError, match=f"does not accept the token; add to {NAME} a valid token") as refused:
            publish_dataset(built(store), store, publish="hf://tester/books", hf_token=REFERENCE)
        assert VALUE not in f"{refused.value!r} {refused.value.__cause__!r}"

    def test_another_variable_with_the_hubs_token(
        self, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(UserError, match="env:TEAM_TOKEN: is not set"):
            publish_dataset(built(store), store, publish="hf://tester/books", hf_token="env:TEAM_TOKEN")
        monkeypatch.setenv("TEAM_TOKEN", hub.token)
        publish_dataset(built(store), store, publish="hf://tester/books", hf_token="env:TEAM_TOKEN")

    def test_a_target_may_be_checked_where_the_token_is_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_TOKEN", raising=False)
        check_target("hf://tester/books", here=False)
        with pytest.raises(UserError, match="not a dataset on the Hub"):
            check_target("hf://books", here=False)
