"""The `anjuan` command: how the product is started, prepared and looked after. What `make` calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
import uvicorn

from service.access.policy import Role
from service.commands import log_as_json, set_log_level, settings_of_running, with_system
from service.config import BadSettings, Settings
from service.crypto import KeyringError
from service.errors import DomainError, Invalid
from service.key_commands import rotate_keys, rotate_signing_key
from service.storage import ObjectTrouble, StoreUnreachable

cli = typer.Typer(
    help="Anjuan (案卷): customers and their cases.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
users = typer.Typer(help="Accounts, from the command line.", no_args_is_help=True)
cli.add_typer(users, name="user")
departments = typer.Typer(help="Departments, from the command line.", no_args_is_help=True)
cli.add_typer(departments, name="department")
policies = typer.Typer(help="The policy: who sees what, who may take which step.", no_args_is_help=True)
cli.add_typer(policies, name="policy")
T = TypeVar("T")
# Of `anjuan up` alone: the command line of what it starts names the data directory, so that leftovers are known.
DataDir = Annotated[Path | None, typer.Option("--data-dir", hidden=True)]
SDL_FILE = Path(__file__).parent.parent / "schema" / "schema.graphql"


def main() -> None:
    """Entry point: expected trouble is a sentence, not a trace."""
    log_as_json()
    try:
        cli()
    except (BadSettings, KeyringError, LookupError, DomainError, ObjectTrouble, StoreUnreachable) as error:
        text = "; ".join(p.message("en") for p in error.problems) if isinstance(error, Invalid) else str(error)
        typer.echo(f"anjuan: {text}", err=True)
        raise SystemExit(1) from None


@cli.command()
def up(
    demo: Annotated[bool, typer.Option(help="Load demo data into an empty system.")] = True,
    scale: Annotated[float, typer.Option(help="How much demo data.")] = 1.0,
) -> None:
    """Starts everything on this machine and keeps it running until Ctrl-C."""
    from infra.up import run_everything  # noqa: PLC0415

    raise typer.Exit(run_everything(Settings.read(), demo=demo, scale=scale))


def application() -> object:
    """One process of `serve`: the ASGI application, from the environment."""
    from service.app import create_app  # noqa: PLC0415 - other commands need not load it

    log_as_json()
    settings = settings_of_running()
    set_log_level(settings)
    return create_app(settings)


@cli.command()
def serve(
    data_dir: DataDir = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
) -> None:
    """Runs the API."""
    from schema.http.conversation import MESSAGE_MOST  # noqa: PLC0415 - other commands need not load it
    from service.sockets import BoundedWebSocket  # noqa: PLC0415

    settings = settings_of_running(data_dir)
    set_log_level(settings)
    with_system(settings, lambda system: system.begin(), verified=False)
    os.environ["ANJUAN_DATA_DIR"] = str(settings.data_dir)  # each process reads its settings anew
    uvicorn.run(
        "service.cli:application",
        factory=True,
        workers=workers,
        host=settings.host,
        port=settings.port,
        ssl_certfile=str(settings.tls_cert) if settings.tls_cert else None,
        ssl_keyfile=str(settings.tls_key) if settings.tls_key else None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws=BoundedWebSocket,
        ws_max_size=MESSAGE_MOST,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        timeout_graceful_shutdown=10,
    )


@cli.command()
def worker(data_dir: DataDir = None) -> None:
    """Runs the worker: jobs, the indexer, the reading of scans."""
    from service.system import open_system  # noqa: PLC0415
    from service.worker import run_worker  # noqa: PLC0415

    settings = settings_of_running(data_dir)
    set_log_level(settings)

    async def work() -> None:
        system = open_system(settings, writes_index=True)
        try:
            await system.require_fit()
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            for sign in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(sign, stopping.set)
            await run_worker(system, stopping)
        finally:
            await system.close()

    asyncio.run(work())


@cli.command()
def init() -> None:
    """Makes what is missing: keyring, indexes, bucket, policy, standard templates. May be repeated."""
    from service.system import System, make_keyring  # noqa: PLC0415

    async def prepare(system: System) -> None:
        await system.prepare()
        await system.templates.seed(await system.policies.current())

    settings = settings_of_running()
    if asyncio.run(make_keyring(settings)):
        typer.echo(f"Made a keyring at {settings.keyring_path}. Keep a copy in a safe place.")
    with_system(settings, prepare, verified=False)
    typer.echo("Ready.")


@cli.command()
def seed(
    scale: Annotated[float, typer.Option(help="How much: 1 is 200 customers and 600 cases.")] = 1.0,
) -> None:
    """Loads demo data through the services; does nothing where there are customers already."""
    from infra.accounts import ACCOUNTS  # noqa: PLC0415
    from infra.demo.seeding import seed_demo  # noqa: PLC0415

    settings = settings_of_running()
    accounts = settings.data_dir / ACCOUNTS
    with_system(settings, lambda system: seed_demo(system, scale=scale, report=typer.echo, accounts_file=accounts))


@cli.command()
def reindex() -> None:
    """Builds the index anew beside the one that answers, then swaps."""
    from search.port import WriterTaken  # noqa: PLC0415
    from service.system import open_system  # noqa: PLC0415

    settings = settings_of_running()

    async def here() -> str:
        system = open_system(settings, writes_index=True)
        try:
            await system.installation.verify(system.keyring)
            await system.epoch.refresh()
            return await system.indexer.rebuild(lambda done: typer.echo(f"\r{done} records", nl=False, err=True))
        finally:
            await system.close()

    try:
        typer.echo(f"\nGeneration {asyncio.run(here())} answers now.")
    except WriterTaken:
        with_system(settings, _ask_worker_to_rebuild)
        typer.echo("The running worker builds the index anew; searches go on meanwhile.")


cli.command()(rotate_keys)
cli.command()(rotate_signing_key)


@cli.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Checks every part and says what is wrong, in words."""
    from infra.examination import examine  # noqa: PLC0415

    findings = examine(settings_of_running())
    if as_json:
        shown = [{"part": f.part, "ok": f.ok, "message": f.message, "remedy": f.remedy} for f in findings]
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{'ok ' if finding.ok else 'BAD'} {finding.part}: {finding.message}")
            if not finding.ok and finding.remedy:
                typer.echo(f"    remedy: {finding.remedy}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@cli.command()
def sdl(check: Annotated[bool, typer.Option(help="Compare with the committed file.")] = False) -> None:
    """Writes schema/schema.graphql, or compares with it."""
    from schema.root import SDL  # noqa: PLC0415

    if not check:
        SDL_FILE.write_text(SDL, "utf-8")
        return
    if SDL_FILE.read_text("utf-8") != SDL:
        typer.echo("schema/schema.graphql is not the schema's. Remedy: anjuan sdl", err=True)
        raise typer.Exit(1)
    typer.echo("SDL: as committed.")


@departments.command("create")
def create_department(
    key: str,
    zh: Annotated[str, typer.Option("--zh", metavar="NAME", help="Its name in Chinese.")],
    en: Annotated[str, typer.Option("--en", metavar="NAME", help="Its name in English.")],
) -> None:
    """Makes a department and tells its id and key. The key (a-z, 0-9, -) is what `user create` names it by."""
    from service.system import System  # noqa: PLC0415

    async def make(system: System) -> None:
        await system.epoch.refresh()
        made = await system.identity.seed_department({"key": key, "name": {"zh-CN": zh, "en": en}})
        typer.echo(f"{made.id} {made.key}")

    with_system(settings_of_running(), make)


@users.command("create")
def create_user(
    email: str,
    name: str,
    role: Annotated[list[Role], typer.Option(help="May be given several times.")],
    department: Annotated[str | None, typer.Option(help="Key of the department.")] = None,
) -> None:
    """Makes an account and tells its first password once."""
    from service.system import System  # noqa: PLC0415

    async def make(system: System) -> None:
        await system.epoch.refresh()
        found = [d for d in await system.identity.departments() if d.key == department]
        if department and not found:
            raise LookupError(f"no department {department}")
        values = {"email": email, "name": name, "roles": [r.value for r in role]}
        made = await system.identity.seed_user({**values, "department": found[0].id if found else None})
        typer.echo(f"{made.user.id} {made.user.email} {made.initial_password}")

    with_system(settings_of_running(), make)


@policies.command("show")
def show_policy(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As documents have it.")] = False,
    of_seed: Annotated[bool, typer.Option("--seed", help="What a new system begins with.")] = False,
    into: Annotated[Path | None, typer.Option(help="Put the seed's tables between this document's marks.")] = None,
) -> None:
    """Prints the policy in force; the one that a new system begins with where no database is configured."""
    from service.policies.service import seed_data  # noqa: PLC0415
    from service.policies.shown import markdown, placed, tables  # noqa: PLC0415
    from service.system import System  # noqa: PLC0415

    async def stored(system: System) -> dict[str, Any]:
        return await system.policies.table() or seed_data()

    if into is not None:
        into.write_text(placed(into.read_text("utf-8"), seed_data()), "utf-8")
        return
    settings = settings_of_running()
    content = seed_data() if of_seed or settings.mongo_url is None else with_system(settings, stored)
    if as_json:
        typer.echo(json.dumps(content, ensure_ascii=False, indent=2))
    elif as_markdown:
        typer.echo(markdown(content))
    else:
        _print_tables(f"Policy, version {content['version']}", tables(content))


def _print_tables(title: str, found: Sequence[tuple[str, tuple[Sequence[str], Sequence[Sequence[str]]]]]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - other commands need not load it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console()
    console.print(title, style="bold")
    for about, (head, rows) in found:
        console.print(f"\n{about}", highlight=False)
        table = Table(*head, box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0, highlight=False)
        for first, *others in rows:
            table.add_row(first.replace(", ", "\n"), *others)
        console.print(table)


async def _ask_worker_to_rebuild(system: object) -> None:
    from search.indexer import REBUILD  # noqa: PLC0415
    from service.system import System  # noqa: PLC0415

    assert isinstance(system, System)  # noqa: S101 - for the type checker
    await system.database.transact(lambda unit: system.jobs.enqueue(unit, REBUILD, {}))


if __name__ == "__main__":
    main()
