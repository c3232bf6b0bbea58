"""A file of 32 MiB through the API (sniffed, hashed, encrypted, journaled) beside a plain S3 PUT of the same bytes."""

from __future__ import annotations

import hashlib
import io
import os
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pikepdf
from minio import Minio

from tests.bench.world import MANAGER, World

MEBIBYTE = 1 << 20
SIZE = 32 * MEBIBYTE
_PART = 64 * MEBIBYTE
_CREATE = "evidence { id uploadUrl }"


def a_pdf(size: int = SIZE) -> bytes:
    """A valid PDF of one page and an attached stream of random bytes, a little larger than `size`."""
    document, written = pikepdf.new(), io.BytesIO()
    document.add_blank_page()
    document.Root.Payload = document.make_stream(os.urandom(size))
    document.save(written, compress_streams=False)
    return written.getvalue()


def measure(world: World, rounds: int) -> dict[str, Any]:
    """Medians in MB/s (10^6 bytes); the rounds take turns."""
    content = a_pdf()
    through_api, plain = [], []
    for number in range(rounds):
        through_api.append(len(content) / 1e6 / _through_api(world, content, number))
        plain.append(len(content) / 1e6 / _plain_put(world, content, number))
    product, bare = statistics.median(through_api), statistics.median(plain)
    return {
        "bytes": len(content),
        "rounds": rounds,
        "product_mb_per_second": round(product, 1),
        "plain_s3_put_mb_per_second": round(bare, 1),
        "ratio": round(product / bare, 3),
        "plain_is": "one PUT of the minio client over the same SeaweedFS; it signs a SHA-256 of the body",
    }


def _through_api(world: World, content: bytes, number: int) -> float:
    headers = world.sign_in()
    made = world.company.change(
        MANAGER,
        "createEvidence",
        _CREATE,
        customer=world.ids[number],
        kind="CONTRACT",
        fileName=f"contract-{number}.pdf",
        mediaType="application/pdf",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    with httpx.Client(timeout=120) as http:
        began = time.perf_counter()
        answer = http.put(made["uploadUrl"], content=content, headers=headers)
        took = time.perf_counter() - began
    answer.raise_for_status()
    return took


def _plain_put(world: World, content: bytes, number: int) -> float:
    settings = world.settings
    assert settings.s3_endpoint is not None
    assert settings.s3_access_key is not None
    assert settings.s3_secret_key is not None
    client = Minio(
        endpoint=urlsplit(settings.s3_endpoint).netloc,
        access_key=settings.s3_access_key.get_secret_value(),
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=False,
        region=settings.s3_region,
    )
    began = time.perf_counter()
    client.put_object(
        bucket_name=settings.s3_bucket,
        object_name=f"bench-plain-{number}",
        data=io.BytesIO(content),
        length=len(content),
        part_size=_PART,
    )
    return time.perf_counter() - began
