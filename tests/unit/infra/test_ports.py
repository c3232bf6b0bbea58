"""Ports: chosen in free pairs, read from text, refused by name when taken."""

from __future__ import annotations

import socket
from dataclasses import asdict

import pytest

from infra.local import LocalServersError, PortInUse, Ports
from infra.local.ports import GRPC_OFFSET, PAIRED


def test_free_ports_are_free_and_differ_pairs_included() -> None:
    ports = Ports.free()
    numbers = ports.numbers("mongo", *PAIRED)
    assert len(numbers) == 1 + 2 * len(PAIRED)
    assert {port - GRPC_OFFSET for port in numbers} >= {asdict(ports)[part] for part in PAIRED}
    ports.require_free("mongo", *PAIRED)


def test_default_ports_stay_below_those_that_linux_hands_out() -> None:
    assert max(Ports().numbers("mongo", *PAIRED)) < 32768


@pytest.mark.parametrize("offset", [0, GRPC_OFFSET])
def test_a_taken_port_is_named_with_the_setting_that_changes_it(offset: int) -> None:
    ports = Ports.free()
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.s3 + offset))
        other.listen()
        with pytest.raises(PortInUse, match=rf"{ports.s3 + offset}.*ANJUAN_LOCAL_PORTS=s3=") as caught:
            ports.require_free("s3")
        ports.require_free("mongo")
    assert caught.value.key == "s3"


def test_ports_are_read_from_text() -> None:
    assert Ports.from_text("mongo=27200, s3=18400") == Ports(mongo=27200, s3=18400)
    assert Ports.from_text("") == Ports()
    assert Ports.from_text("auto") != Ports()


@pytest.mark.parametrize("text", ["mongo", "s3=x", "web=8000", "s3=60000", "mongo=80", "mongo=70000", "s3=-1"])
def test_text_that_makes_no_ports_is_refused(text: str) -> None:
    with pytest.raises(LocalServersError, match="ANJUAN_LOCAL_PORTS"):
        Ports.from_text(text)
