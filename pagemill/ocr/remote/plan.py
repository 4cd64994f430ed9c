"""The plan that what a server reads with amounts to: that of `recognize_pages` with the same engine and checkpoint."""

from pathlib import Path

from pagemill.download import RemoteFile, download, partial_file
from pagemill.errors import UserError
from pagemill.ocr.checkpoint import RELEASES, Checkpoint
from pagemill.ocr.plan import Plan, language_codes, retry_rounds
from pagemill.ocr.serving.config import TOKENIZER, EngineConfig
from pagemill.storage import Store, digest

ELSEWHERE = "remote"  # the device of such a plan


def plan_of(
    config: EngineConfig, server: str, *, fallback: str, min_agreement: float, languages: str, retry: str, dpi: int
) -> Plan:
    """Return the plan by which a server reads; raises UserError when it reads other languages than asked for."""
    if language_codes(languages) != config.languages:
        reads, wanted = (",".join(codes) or "any" for codes in (config.languages, language_codes(languages)))
        mend = f"set PAGEMILL_LANGUAGES={','.join(language_codes(languages))} where the model is deployed, or ask alike"
        raise UserError(server, f"reads languages {reads}, not {wanted}", mend)
    return Plan(
        checkpoint=Checkpoint(Path(), config.checkpoint_sha256, config.checkpoint_name, config.checkpoint_license, {}),
        engine=config.engine,
        dpi=dpi,
        precision=config.precision,
        languages=config.languages,
        page_time_limit_seconds=config.page_time_limit_seconds,
        retry=retry_rounds(retry),
        fallback=fallback,
        min_agreement=min_agreement,
        batch_size=0,
        render_workers=0,
        device=ELSEWHERE,
        threads=0,
        workers=0,
        instances_per_gpu=0,
    )


def keep_tokenizer(plan: Plan, config: EngineConfig, checkpoint: str, store: Store) -> None:
    """Keep the tokenizer of the checkpoint that a server reads with, for those who measure chunks.

    It alone of the checkpoint's files is fetched from where the checkpoint lies, and held to the digest
    that the server says.

    Args:
        plan: Says where it is kept.
        config: What the server reads with.
        checkpoint: A local folder, the URI of one, or a release tag; with `@sha256:<digest>` at its end if need be.
        store: Receives it.

    Raises:
        UserError: There is no such checkpoint, or it is not the server's.
        DownloadError: It could not be had after all attempts.
    """
    spec, _, pinned = checkpoint.partition("@sha256:")
    release = RELEASES.get(spec)
    names = {each.name for each in RELEASES.values()}
    if pinned.lower() not in ("", config.checkpoint_sha256) or (
        release is not None and config.checkpoint_name in names - {release.name}
    ):
        raise _another(checkpoint, config)
    if store.exists(plan.tokenizer):
        return
    uri = f"{release.uri if release else spec.rstrip('/')}/{TOKENIZER}"
    with partial_file(store, digest([uri, plan.tokenizer])[:32]) as part:
        try:
            sha256 = download(RemoteFile(uri), part, lasting=(FileNotFoundError, PermissionError))
        except (FileNotFoundError, PermissionError):
            mend = "give the checkpoint that the server reads with"
            raise UserError(uri, "the file is missing, or may not be read", mend) from None
        if sha256 != config.tokenizer_sha256:
            raise _another(checkpoint, config)
        store.adopt(part, plan.tokenizer)


def _another(checkpoint: str, config: EngineConfig) -> UserError:
    reason = f"is not what the server reads with, {config.checkpoint_name} (sha256 {config.checkpoint_sha256})"
    return UserError(f"checkpoint {checkpoint}", reason, "give the checkpoint that the model was deployed with")
