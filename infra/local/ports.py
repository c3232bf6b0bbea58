"""The TCP ports of the embedded servers, all on 127.0.0.1.

SeaweedFS derives the gRPC port of each of its parts by adding 10000. The defaults keep both ports of a
pair below 32768, where Linux starts to hand out ports for outgoing connections, so that none of them is
taken by chance.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from infra.local.errors import LocalServersError, PortInUse

GRPC_OFFSET = 10_000
HOST = "127.0.0.1"
PARTS = {
    "mongo": "mongod",
    "s3": "SeaweedFS (S3)",
    "master": "SeaweedFS (master)",
    "volume": "SeaweedFS (volume)",
    "filer": "SeaweedFS (filer)",
}
PAIRED = ("s3", "master", "volume", "filer")


@dataclass(frozen=True, slots=True)
class Ports:
    """One port per part; each but `mongo` stands for a pair (itself, itself + 10000)."""

    mongo: int = 27117
    s3: int = 18333
    master: int = 19333
    volume: int = 18080
    filer: int = 18888

    @classmethod
    def free(cls) -> Ports:
        """Ports that nobody listens on just now, pairs included (for tests and `auto`)."""
        chosen: dict[str, int] = {}
        with ExitStack() as held:
            for part in PARTS:
                chosen[part] = _free_port(held, paired=part in PAIRED)
        return cls(**chosen)

    @classmethod
    def from_text(cls, text: str) -> Ports:
        """Read `auto`, or `mongo=27200,s3=18400` where the parts left out keep their default.

        Raises LocalServersError for anything else.
        """
        if text.strip() == "auto":
            return cls.free()
        chosen: dict[str, int] = {}
        for item in filter(None, (piece.strip() for piece in text.split(","))):
            part, _, number = item.partition("=")
            limit = 65535 - (GRPC_OFFSET if part in PAIRED else 0)
            if part not in PARTS or not number.isdecimal() or not 1024 <= int(number) <= limit:
                raise LocalServersError(
                    f"ANJUAN_LOCAL_PORTS has {item!r}; write auto, or part=port with a part of "
                    f"{', '.join(PARTS)} and a port from 1024 to {limit}."
                )
            chosen[part] = int(number)
        return cls(**chosen)

    def numbers(self, *parts: str) -> dict[int, str]:
        """Each port that the named parts listen on, and whose it is."""
        own = asdict(self)
        listed = {own[part]: part for part in parts}
        return listed | {own[part] + GRPC_OFFSET: part for part in parts if part in PAIRED}

    def require_free(self, *parts: str) -> None:
        """Raises PortInUse for the first port of the named parts on which somebody listens."""
        for port, part in self.numbers(*parts).items():
            if not is_free(port):
                raise PortInUse(PARTS[part], port, part)


def is_free(port: int) -> bool:
    """Can 127.0.0.1:port be bound now? Connections of a former server that still linger don't count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port(held: ExitStack, *, paired: bool) -> int:
    for _ in range(500):
        first = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        first.bind((HOST, 0))
        port: int = first.getsockname()[1]
        if not paired:
            return port
        if port + GRPC_OFFSET > 65535:
            port -= GRPC_OFFSET  # the system chose the upper half; the pair is the same
            other = port
        else:
            other = port + GRPC_OFFSET
        second = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        try:
            second.bind((HOST, other))
        except OSError:
            continue
        return port
    raise LocalServersError("No pair of free ports was found on 127.0.0.1; stop some programs and try again.")
