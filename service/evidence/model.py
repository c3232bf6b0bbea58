"""Evidence: a file about a case or a customer, and its text page by page. No driver types."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated

from service.access.declared import Kind, Open, Sensitive, Sensitivity, shape_of
from service.keys.rules import RecordForm

EVIDENCE = "evidence"
PAGES = "evidence_pages"
PREFIX = "evd"
PAGE_PREFIX = "pag"
READ = "evidence.read"
COMPLIANCE = "COMPLIANCE"
UPLOAD_LIFE = timedelta(hours=24)

NARRATIVE = Sensitivity.NARRATIVE


class EvidenceKind(str, Enum):
    """What a file is."""

    CONTRACT = "CONTRACT"
    DELIVERY_NOTE = "DELIVERY_NOTE"
    COMPLAINT_LETTER = "COMPLAINT_LETTER"
    PHOTO = "PHOTO"
    CORRESPONDENCE = "CORRESPONDENCE"
    OTHER = "OTHER"


class EvidenceState(str, Enum):
    """Whether its bytes are here."""

    PENDING = "PENDING"
    STORED = "STORED"
    FAILED = "FAILED"


class EvidenceAction(str, Enum):
    """What a person can do with a file; `allowedActions` lists what this actor may do now."""

    UPLOAD = "UPLOAD"
    DOWNLOAD = "DOWNLOAD"
    WITHDRAW = "WITHDRAW"


class TextState(str, Enum):
    """Whether its text was read."""

    NONE = "NONE"
    WAITING = "WAITING"
    READ = "READ"
    UNREADABLE = "UNREADABLE"


class PageSource(str, Enum):
    """Where a page's text comes from."""

    TEXT_LAYER = "TEXT_LAYER"
    OCR = "OCR"


@dataclass(frozen=True, slots=True)
class PaperLocation:
    """Where the paper original lies (R50)."""

    room: Annotated[str | None, Open("The room.")]
    cabinet: Annotated[str | None, Open("The cabinet in the room.")]
    box: Annotated[str | None, Open("The box in the cabinet.")]
    barcode: Annotated[str | None, Open("The barcode on the box or the paper.")]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file's stored fields. Its bytes are an object, encrypted under a key of their own."""

    id: Annotated[str, Open("The evidence's id.")]
    kind: Annotated[EvidenceKind, Open("What it is.")]
    file_name: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "The file's name, as it was announced.")]
    media_type: Annotated[str, Open("application/pdf, image/jpeg, image/png or image/tiff.")]
    size: Annotated[int, Open("The file's size in bytes.")]
    sha256: Annotated[str | None, Sensitive(NARRATIVE, Kind.FILE, "SHA-256 of the file, 64 hexadecimal digits.")]
    state: Annotated[EvidenceState, Open("Whether the bytes are here.")]
    text_state: Annotated[TextState, Open("Whether the text was read.")]
    text_reason: Annotated[str | None, Open("Why the text could not be read, a code.")]
    page_count: Annotated[int | None, Open("Pages, once they were counted.")]
    flags: Annotated[list[str], Open("What people should know about the file, such as ACTIVE_CONTENT.")]
    paper: Annotated[PaperLocation | None, Open("Where the paper original lies.")]
    registered_at: Annotated[datetime, Open("When it was registered.")]
    registered_by: Annotated[str, Open("Id of the user who registered it.")]
    expires_at: Annotated[datetime | None, Open("Until when the bytes are awaited.")]
    uploaded_at: Annotated[datetime | None, Open("When the bytes came.")]
    uploaded_by: Annotated[str | None, Open("Id of the user who sent them.")]
    withdrawn_at: Annotated[datetime | None, Open("When it was withdrawn as the wrong file.")]
    withdrawn_by: Annotated[str | None, Open("Id of the user who withdrew it.")]
    withdrawal_reason: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "Why it was withdrawn.")]
    retention_mode: Annotated[str | None, Open("COMPLIANCE once the stored version is locked.")]
    retained_until: Annotated[datetime | None, Open("Until when the stored version is locked.")]
    version: Annotated[int, Open("Moves with every step people take; send it back when you change something.")]


@dataclass(frozen=True, slots=True)
class TextBox:
    """Where a piece of text stands: shares (0..1) of the upright page."""

    x: Annotated[float, Sensitive(NARRATIVE, Kind.LABEL, "Left edge.")]
    y: Annotated[float, Sensitive(NARRATIVE, Kind.LABEL, "Upper edge.")]
    w: Annotated[float, Sensitive(NARRATIVE, Kind.LABEL, "Width.")]
    h: Annotated[float, Sensitive(NARRATIVE, Kind.LABEL, "Height.")]
    text: Annotated[str, Sensitive(NARRATIVE, Kind.TEXT, "The text.")]
    confidence: Annotated[float, Sensitive(NARRATIVE, Kind.LABEL, "How sure the reading is, 0 to 1.")]


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """One page's text."""

    id: Annotated[str, Open("The page's id.")]
    number: Annotated[int, Open("Counts from 1.")]
    source: Annotated[PageSource, Open("Text layer or OCR.")]
    confidence: Annotated[float, Open("How sure the reading is, 0 to 1.")]
    text: Annotated[str | None, Sensitive(NARRATIVE, Kind.TEXT, "The text in reading order.")]
    boxes: Annotated[list[TextBox] | None, Sensitive(NARRATIVE, Kind.TEXT, "Where the lines stand.")]


SHAPE = shape_of(Evidence)
PAGE_SHAPE = shape_of(EvidencePage)
FORM = RecordForm(EVIDENCE, SHAPE)
PAGE_FORM = RecordForm(PAGES, PAGE_SHAPE)


def key_context(evidence: str, storage_key: str) -> bytes:
    """What binds a wrapped object key to its object."""
    return f"object-key/{evidence}/{storage_key}".encode()
