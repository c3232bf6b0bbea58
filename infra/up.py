"""`anjuan up`: everything on one machine, in order, until Ctrl-C; and in the reverse order down again."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from pydantic import SecretStr
from rich.console import Console

from infra.accounts import ACCOUNTS, renew_address
from infra.local import PROGRAMS, Endpoints, LocalServers, LocalServersError, Ports, ServerFailed
from infra.local.process import ServerProcess
from infra.running import RUNNING, write_running
from service.config import Settings
from service.crypto import KeyringError
from service.errors import DomainError
from service.evidence.model import READ
from service.storage import ObjectTrouble, StoreUnreachable
from service.system import System, make_keyring, open_system

READY_SECONDS = 60.0
PATIENCE_SECONDS = 20.0
T = TypeVar("T")
console = Console(highlight=False)


def say(sentence: str) -> None:
    """One step, visible at once."""
    console.print(f"· {sentence}")


class Stopped(Exception):
    """Somebody asked to stop."""


class _Stopping:
    """Ctrl-C and SIGTERM: raises Stopped, wherever the program is; but work of the event loop is cancelled first, so
    that it closes what it has open.
    """

    def __init__(self) -> None:
        self._cancel: Callable[[], object] | None = None

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """The signals' handler."""
        if self._cancel is None:
            raise Stopped
        self._cancel()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns. Raises Stopped once it was cancelled."""

        async def cancellable() -> T:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None  # noqa: S101 - this is one
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            try:
                return await work
            finally:
                self._cancel = lambda: None  # it is ending already

        try:
            return asyncio.run(cancellable())
        except asyncio.CancelledError:
            raise Stopped from None
        finally:
            self._cancel = None


def run_everything(settings: Settings, *, demo: bool, scale: float) -> int:
    """Starts, waits, stops; returns the exit code. Trouble is a sentence with its remedy."""
    stopping = _Stopping()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, stopping.on_signal)
    own_mongo, own_objects = settings.mongo_url is None, settings.s3_endpoint is None
    data_dir = settings.data_dir.absolute()
    children = [ServerProcess(PROGRAMS[name], name, data_dir) for name in ("worker", "serve")]
    servers: LocalServers | None = None
    complete: Settings | None = None
    try:
        servers = LocalServers(
            settings.data_dir,
            ports=Ports.from_text(settings.local_ports),
            report=say,
            mongo=own_mongo,
            objects=own_objects,
            api_port=settings.port,
        )
        complete = _completed(settings, servers.start())
        stopping.run(_prepare(complete, demo=demo, scale=scale, alone=own_mongo))
        for child, name in zip(children, ("worker", "serve"), strict=True):
            _launch(child, name, complete)
        _wait_until_ready(complete, children)
        _tell(complete, stopping)
        _watch(servers, children)
    except Stopped:
        pass
    except (LocalServersError, KeyringError, DomainError, ObjectTrouble, StoreUnreachable) as error:
        console.print(str(error), style="bold red", markup=False)
        return 1
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, signal.SIG_IGN)
        for child in (child for child in reversed(children) if child.pid):
            say(f"Stopping {child.part}")
            child.stop(PATIENCE_SECONDS)
        if complete is not None:  # else what stands there belongs to another `anjuan up`
            (settings.data_dir / RUNNING).unlink(missing_ok=True)
        if servers is not None:
            servers.stop()
    return 0


def _completed(settings: Settings, endpoints: Endpoints) -> Settings:
    """The settings with the embedded servers' addresses, also written down for our other commands."""
    found: dict[str, str] = {}
    if settings.mongo_url is None:
        found["mongo_url"] = endpoints.mongo_url
    if settings.s3_endpoint is None:
        found |= {
            "s3_endpoint": endpoints.s3_endpoint,
            "s3_access_key": endpoints.s3_access_key,
            "s3_secret_key": endpoints.s3_secret_key,
        }
    write_running(settings.data_dir, {**found, "port": settings.port})
    secret = {"mongo_url", "s3_access_key", "s3_secret_key"}
    values = {name: SecretStr(value) if name in secret else value for name, value in found.items()}
    return settings.model_copy(update=values)


async def _prepare(settings: Settings, *, demo: bool, scale: float, alone: bool) -> None:
    """Keyring, stores, demo data, standard templates. `alone`: the database is the embedded one of this start."""
    from infra.demo.unfinished import remove_unfinished  # noqa: PLC0415 - the demo is heavy, and only needed here

    if await make_keyring(settings):
        say(f"Made a keyring at {settings.keyring_path}. Keep a copy in a safe place.")

    async def prepare(system: System) -> bool:
        await system.prepare()
        return alone and await remove_unfinished(system)

    if await _on_system(settings, prepare):
        say("Took away demo data whose loading was cut short at an earlier start")

    async def fill(system: System) -> None:
        await system.prepare()
        if demo:
            from infra.demo.seeding import seed_demo  # noqa: PLC0415

            accounts = settings.data_dir / ACCOUNTS
            await seed_demo(system, scale=scale, report=say, accounts_file=accounts, alone=alone)
        await system.templates.seed(await system.policies.current())

    await _on_system(settings, fill)


def _launch(process: ServerProcess, name: str, settings: Settings) -> None:
    say(f"Starting {process.part}")
    # The directory stands in the command line, so that a leftover of this one is known from any other process.
    command = [sys.executable, "-m", "service.cli", name, "--data-dir", str(settings.data_dir.absolute())]
    process.start(command, cwd=Path.cwd(), environment=_environment(settings))


def _environment(settings: Settings) -> dict[str, str]:
    """Settings that the children can't know by themselves."""
    shared: Mapping[str, SecretStr | str | Path | None] = {
        "ANJUAN_MONGO_URL": settings.mongo_url,
        "ANJUAN_S3_ENDPOINT": settings.s3_endpoint,
        "ANJUAN_S3_ACCESS_KEY": settings.s3_access_key,
        "ANJUAN_S3_SECRET_KEY": settings.s3_secret_key,
        "ANJUAN_DATA_DIR": settings.data_dir.absolute(),
    }
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in shared.items()
        if value is not None
    }


def _wait_until_ready(settings: Settings, children: Sequence[ServerProcess]) -> None:
    local = f"{'https' if settings.tls_cert else 'http'}://{settings.host}:{settings.port}/readyz"
    unchecked = ssl._create_unverified_context() if settings.tls_cert else None  # noqa: S323, SLF001 - our own child
    deadline = time.monotonic() + READY_SECONDS
    with console.status("Waiting until everything answers") as status:
        while True:
            _require_alive(children)
            try:
                with urllib.request.urlopen(local, timeout=5, context=unchecked) as answer:  # noqa: S310
                    if answer.status == 200:
                        return
            except urllib.error.HTTPError as error:
                parts = json.loads(error.read() or b"{}").get("parts", {})
                missing = ", ".join(name for name, ready in parts.items() if not ready)
                status.update(f"Waiting for: {missing}")
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise LocalServersError(f"Not ready after {READY_SECONDS:.0f} s; see {settings.data_dir / 'logs'}.")
            time.sleep(0.2)


def _require_alive(children: Sequence[ServerProcess]) -> None:
    """Raises ServerFailed, with the end of its log, for the first that ended by itself."""
    for child in children:
        code = child.exit_code()
        if code is not None:
            lines = "\n".join(child.last_lines(3))
            raise ServerFailed(child.part[0].upper() + child.part[1:], f"ended with code {code}:\n{lines}\n", child.log)


def _tell(settings: Settings, stopping: _Stopping) -> None:
    accounts = renew_address(settings.data_dir / ACCOUNTS, settings.url)
    console.print()
    console.print(f"Anjuan answers at {settings.url}/graphql", style="bold green")
    for account in accounts:
        console.print(f"  {account['role']:<16} {account['email']:<32} {account['password']}")
    if accounts:
        console.print(f"  (also in {settings.data_dir / ACCOUNTS})")
    waiting = stopping.run(_on_system(settings, lambda system: system.jobs.waiting(READ)))
    if waiting:
        console.print(f"{waiting} scans are still being read in the background; the tour's is read first.")
    console.print("Ctrl-C stops everything.")


async def _on_system(settings: Settings, ask: Callable[[System], Awaitable[T]]) -> T:
    system = open_system(settings)
    try:
        return await ask(system)
    finally:
        await system.close()


def _watch(servers: LocalServers, children: Sequence[ServerProcess]) -> None:
    while True:
        time.sleep(0.5)
        _require_alive(children)
        if failure := servers.failed():
            raise failure
