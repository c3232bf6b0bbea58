"""What may be announced as evidence, and when its bytes may come. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from service.access.declared import Level
from service.access.identifiers import check_open
from service.access.view import View
from service.cases.model import CaseState
from service.cases.rules import Step, possible
from service.errors import Code, Invalid, Problems
from service.evidence.model import NARRATIVE, EvidenceAction, EvidenceKind, EvidenceState
from service.evidence.sniffing import ALLOWED_TYPES, agrees, check_name, extension
from service.normal import tidy

PAPER_FIELDS = ("room", "cabinet", "box", "barcode")
PAPER_MOST = 100
REASON_MOST = 2_000
# An upload is kept for its sender as long as it moves; a sender that died frees it soon.
CLAIM_LIFE = timedelta(seconds=60)
# Covers the range requests of one viewing (R69).
ONE_VIEWING = timedelta(minutes=5)
FILING_STATES = tuple(state.value for state in CaseState if possible(Step.FILE, state))
_SHA256 = re.compile(r"[0-9a-f]{64}")


def announced(values: Mapping[str, Any], limit: int, problems: Problems) -> dict[str, Any]:
    """Name, kind, type, size, checksum and paper place as they are stored; troubles go to `problems`."""
    try:
        name = check_name(values.get("file_name") or "")
    except ValueError:
        name = ""
        problems.add(Code.INVALID_FORMAT, "fileName", reason="1–255")
    media_type = accepted_type(values.get("media_type") or "", name)
    if name and media_type is None:
        problems.add(Code.FILE_TYPE_REFUSED, "mediaType")
    size = values.get("size") or 0
    if size <= 0:
        problems.add(Code.EMPTY_FILE, "size")
    elif size > limit:
        problems.add(Code.FILE_TOO_LARGE, "size", limit=limit)
    sha256 = values.get("sha256")
    if sha256 is not None:
        sha256 = sha256.strip().lower()
        if not _SHA256.fullmatch(sha256):
            problems.add(Code.INVALID_FORMAT, "sha256", reason="[0-9a-f]{64}")
    return {
        "file_name": name,
        "kind": _kind(values.get("kind"), problems),
        "media_type": media_type,
        "size": size,
        "sha256": sha256,
        "paper": _paper(values.get("paper"), problems),
    }


def accepted_type(media_type: str, file_name: str) -> str | None:
    """The announced type under its registered name, if it is accepted and the file name's extension fits it."""
    suffix = extension(file_name)
    return next((known for known in sorted(ALLOWED_TYPES) if agrees(media_type, suffix, known)), None)


def _kind(kind: Any, problems: Problems) -> str | None:
    try:
        return EvidenceKind(kind).value
    except ValueError:
        problems.add(Code.REQUIRED if kind is None else Code.VALIDATION, "kind", reason=", ".join(EvidenceKind))
        return None


def _paper(paper: Mapping[str, Any] | None, problems: Problems) -> dict[str, str | None] | None:
    if paper is None:
        return None
    place: dict[str, str | None] = {}
    for name in PAPER_FIELDS:
        text = tidy(paper.get(name) or "")
        if len(text) > PAPER_MOST:
            problems.add(Code.TOO_LONG, f"paper.{name}", limit=PAPER_MOST)
        if name != "barcode":
            check_open(text, f"paper.{name}", problems)
        place[name] = text or None
    return place if any(place.values()) else None


def may_upload(view: View) -> bool:
    """Only who registered a file, and still may, sends its bytes."""
    return view.document["registered_by"] == view.caller.actor.id and view.caller.may("evidence.create", view.relations)


def awaits_upload(document: Mapping[str, Any], at: datetime) -> bool:
    """Whether bytes may still come."""
    return (
        document["state"] == EvidenceState.PENDING.value
        and document["withdrawn_at"] is None
        and bool(document["expires_at"] > at)
    )


def check_awaited(document: Mapping[str, Any], at: datetime) -> None:
    """Raises Invalid with the reason why no bytes are awaited."""
    if document["state"] == EvidenceState.STORED.value:
        raise Invalid.because(Code.ALREADY_UPLOADED, "state")
    if document["withdrawn_at"] is not None:
        raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state="WITHDRAWN")
    if document["expires_at"] <= at:
        raise Invalid.because(Code.UPLOAD_EXPIRED, "expiresAt")
    if document["state"] == EvidenceState.FAILED.value:
        raise Invalid.because(Code.NOT_ALLOWED_IN_STATE, "state", state=EvidenceState.FAILED.value)


def check_length(size: int, length: int, limit: int) -> None:
    """Before a byte is read: the request's length is the announced one. Raises Invalid."""
    if length > limit:
        raise Invalid.because(Code.FILE_TOO_LARGE, "size", limit=limit)
    if length == 0:
        raise Invalid.because(Code.EMPTY_FILE, "body")
    if length != size:
        raise Invalid.because(Code.LENGTH_MISMATCH, "size")


def is_filing_open(case: View | None) -> bool:
    """Whether files may still come and go: always at a customer, at a case until it is sealed."""
    return case is None or case.document["state"] in FILING_STATES


def allowed_actions(evidence: View, case: View | None, at: datetime) -> list[EvidenceAction]:
    """What this caller may do with the file now; exactly what the service would accept. `case` is the file's."""
    document, found = evidence.document, []
    sender = (document.get("upload") or {}).get("until")
    is_free = sender is None or sender <= at
    if is_filing_open(case) and awaits_upload(document, at) and is_free and may_upload(evidence):
        found.append(EvidenceAction.UPLOAD)
    if may_download(evidence):
        found.append(EvidenceAction.DOWNLOAD)
    is_here = document["withdrawn_at"] is None
    if is_filing_open(case) and is_here and evidence.caller.may("evidence.withdraw", evidence.relations):
        found.append(EvidenceAction.WITHDRAW)
    return found


def may_download(view: View) -> bool:
    """Whether the bytes may be handed out: the right, and nothing of the narrative hidden from this caller."""
    return (
        view.document["state"] == EvidenceState.STORED.value
        and view.document["withdrawn_at"] is None
        and view.row[NARRATIVE] is Level.FULL
        and view.caller.may("evidence.download", view.relations)
    )
