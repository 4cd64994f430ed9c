"""Secrets, read where they are used: a parameter or a setting holds the name of one, never its value."""

import base64
import os
import re

from pagemill.errors import UserError
from pagemill.google_apis import LOGIN, GoogleApis, GoogleError

ENVIRONMENT_PREFIX = "env:"
MANAGED_PREFIX = "secret:"
PREFIXES = (ENVIRONMENT_PREFIX, MANAGED_PREFIX)
API = "https://secretmanager.googleapis.com/v1"
DAMAGED_ATTEMPTS = 3
ACCESSOR = "roles/secretmanager.secretAccessor"

VARIABLE = re.compile(r"env:(?P<name>[A-Za-z_]\w*)", re.ASCII)
MANAGED = re.compile(
    r"secret:(?P<secret>projects/(?P<project>[a-z0-9][a-z0-9.:-]*)/secrets/(?P<name>[\w-]{1,255}))"
    r"(/versions/(?P<version>[\w-]+))?",
    re.ASCII,
)


def is_reference(text: str) -> bool:
    """Say whether a text names a secret, rightly or not, and no file."""
    return text.startswith(PREFIXES)


def check_reference(reference: str, subject: str = "secret") -> None:
    """Refuse what does not name a secret; what was given is not quoted, for it may be the secret itself.

    Args:
        reference: What was given.
        subject: The parameter or setting that it was given for.

    Raises:
        UserError: It is neither `env:NAME` nor `secret:projects/P/secrets/S[/versions/V]`.
    """
    if not VARIABLE.fullmatch(reference) and not MANAGED.fullmatch(reference):
        raise UserError(subject, "not the name of a secret", "write env:NAME or secret:projects/P/secrets/S")


def read_secret(reference: str) -> str:
    """Read a secret from the environment or from Google's Secret Manager, there as the account that runs this.

    Args:
        reference: `env:NAME`, or `secret:projects/P/secrets/S[/versions/V]` with the latest version as the default.

    Raises:
        UserError: No secret is named, it is not there, or may not be read.
    """
    check_reference(reference)
    if variable := VARIABLE.fullmatch(reference):
        value = os.environ.get(variable["name"])
        if value is None:
            raise UserError(reference, "is not set", "set the environment variable that holds the secret")
        return value
    return _from_secret_manager(reference)


def _from_secret_manager(reference: str) -> str:
    try:
        return _accessed(reference).decode("utf-8-sig")
    except UnicodeDecodeError:
        # Without the original error, whose message would quote the bytes.
        raise UserError(reference, "is not UTF-8", "keep text in it, in UTF-8") from None
    except GoogleError as error:
        raise _explained(reference, error) from None


def _accessed(reference: str) -> bytes:
    """Return the bytes of a version, whole as their checksum says."""
    named = _named(reference)
    apis = GoogleApis()
    for _ in range(DAMAGED_ATTEMPTS):
        payload = apis.get(f"{API}/{named['secret']}/versions/{named['version'] or 'latest'}:access")["payload"]
        data = base64.b64decode(payload.get("data", ""))
        if _is_whole(data, payload.get("dataCrc32c")):
            return data
    raise UserError(reference, "arrives damaged", "try again, and look at what stands between here and Google")


def _is_whole(data: bytes, checksum: str | None) -> bool:
    from google_crc32c import value

    return checksum is None or int(checksum) == value(data)


def _named(reference: str) -> re.Match[str]:
    named = MANAGED.fullmatch(reference)
    assert named is not None, "the reference was checked"
    return named


def _explained(reference: str, error: GoogleError) -> Exception:
    """Return what the user can mend about a refusal; the refusal itself where that is nothing."""
    named = _named(reference)
    of_project = f"--project {named['project']}"
    versions = f"gcloud secrets versions list {named['name']} {of_project}"
    if error.is_disabled_api:
        mend = f"gcloud services enable secretmanager.googleapis.com {of_project}"
        return UserError(reference, "Secret Manager is not enabled in the project", mend)
    grant = (
        f"gcloud secrets add-iam-policy-binding {named['name']} {of_project} --role {ACCESSOR} "
        "--member serviceAccount:ACCOUNT, with the account that tasks run as"
    )
    reasons = {
        400: ("its version is disabled, destroyed or of no such name", f"enable it or add one; {versions}"),
        401: ("Google does not accept the login", LOGIN),
        403: (f"may not be read ({ACCESSOR} is missing)", grant),
        404: ("there is no such secret or version", versions),
    }
    return UserError(reference, *reasons[error.status]) if error.status in reasons else error
