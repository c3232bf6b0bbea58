"""Settings → what the doctor looks at."""

from __future__ import annotations

from infra import doctor
from infra.running import RUNNING
from service.config import Settings
from service.crypto import KeyringError
from service.system import load_keyring


def examine(settings: Settings) -> list[doctor.Finding]:
    """Every part that these settings name. Nothing running is a finding of its own."""
    embedded = (settings.data_dir / RUNNING).exists() or settings.mongo_url is None
    mongo = objects = None
    if settings.mongo_url is not None:
        mongo = doctor.MongoPart(settings.mongo_url.get_secret_value(), settings.database)
    if settings.s3_endpoint is not None:
        objects = doctor.ObjectsPart(
            settings.s3_endpoint,
            settings.s3_access_key.get_secret_value() if settings.s3_access_key else "",
            settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else "",
            settings.s3_bucket,
            settings.s3_region,
        )
    commitments, broken = None, ""
    if settings.keyring_json or settings.keyring_path.exists():
        try:
            commitments = load_keyring(settings).commitments()
        except KeyringError as error:
            broken = str(error)
    parts = doctor.Parts(
        data_dir=settings.data_dir,
        keyring=None if settings.keyring_json else settings.keyring_path,
        commitments=commitments,
        index=None if settings.search_url else settings.data_dir / "index",
        mongo=mongo,
        objects=objects,
        ports={"api": settings.port},
        running=mongo is not None,
        embedded=embedded,
    )
    findings = doctor.examine(parts)
    if broken:
        findings.append(doctor.Finding("keyring", False, f"It can't be used: {broken}.", "Restore it from its backup."))
    if mongo is None or objects is None:
        message = "Nothing runs for this data directory, and no MongoDB or S3 is configured."
        findings.append(doctor.Finding("servers", False, message, "make up"))
    return findings
