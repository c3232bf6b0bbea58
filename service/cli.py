"""The `anjuan` command: how the product is started, prepared and looked after. What `make` calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import structlog
import typer
import uvicorn

from service.access.policy import Role
from service.config import BadSettings, Settings
from service.crypto import Keyring, KeyringError
from service.errors import DomainError, Invalid
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
NEW_KEY_IN_ENVIRONMENT = """\
No key was made: the keyring comes from ANJUAN_KEYRING_JSON, which this program can't change. For a new key:
1. Add an entry {"id", "key": base64 of 32 random bytes, "created"} to encryption_keys; start every process with that.
2. Set "current" to its id; start every process with that.
3. Run `anjuan rotate-keys --rewrap`."""
NEW_KEY_IN_VAULT = """\
Vault makes new keys: `vault write -f transit/keys/NAME/rotate`, and then this again, wraps everything by a new one."""
FORMER_KEYS_IN_ENVIRONMENT = """\
Stored keys by the key that they need: {needed}. Take keys that are not among them out of ANJUAN_KEYRING_JSON only with
their documents `keyring/encryption/ID` in the collection `meta`: a recorded key that is missing stops every start."""
SDL_FILE = Path(__file__).parent.parent / "schema" / "schema.graphql"


def main() -> None:
    """Entry point: expected trouble is a sentence, not a trace."""
    _log_as_json()
    try:
        cli()
    except (BadSettings, KeyringError, LookupError, DomainError, ObjectTrouble, StoreUnreachable) as error:
        text = "; ".join(p.message("en") for p in error.problems) if isinstance(error, Invalid) else str(error)
        typer.echo(f"anjuan: {text}", err=True)
        raise SystemExit(1) from None


def settings_of_running(data_dir: Path | None = None) -> Settings:
    """Settings, completed by what a running `anjuan up` of this data directory wrote down for its own commands."""
    from infra.running import running_environment  # noqa: PLC0415 - only the command line knows infra

    settings = Settings.read() if data_dir is None else Settings.read(data_dir=data_dir)
    found = running_environment(settings.data_dir)
    return settings.model_copy(update={k: v for k, v in found.items() if k not in settings.model_fields_set})


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

    _log_as_json()
    settings = settings_of_running()
    _log_level(settings)
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
    _log_level(settings)
    _with_system(settings, lambda system: system.begin(), verified=False)
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
    from service.app import open_system  # noqa: PLC0415
    from service.worker import run_worker  # noqa: PLC0415

    settings = settings_of_running(data_dir)
    _log_level(settings)

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
    from service.app import System, make_keyring  # noqa: PLC0415

    async def prepare(system: System) -> None:
        await system.prepare()
        await system.templates.seed(await system.policies.current())

    settings = settings_of_running()
    if asyncio.run(make_keyring(settings)):
        typer.echo(f"Made a keyring at {settings.keyring_path}. Keep a copy in a safe place.")
    _with_system(settings, prepare, verified=False)
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
    _with_system(settings, lambda system: seed_demo(system, scale=scale, report=typer.echo, accounts_file=accounts))


@cli.command()
def reindex() -> None:
    """Builds the index anew beside the one that answers, then swaps."""
    from search.port import WriterTaken  # noqa: PLC0415
    from service.app import open_system  # noqa: PLC0415

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
        _with_system(settings, _ask_worker_to_rebuild)
        typer.echo("The running worker builds the index anew; searches go on meanwhile.")


@cli.command()
def rotate_keys(
    owner: Annotated[str | None, typer.Option(metavar="ID", help="A customer's own data key instead.")] = None,
    rewrap: Annotated[bool, typer.Option(help="Make no new key; wrap everything by the current one.")] = False,
    retire: Annotated[
        bool, typer.Option(help="Take former keys, once nothing needs them, out of the keyring.")
    ] = False,
) -> None:
    """Makes a new key-encryption key and wraps all data keys by it. What was cut off is finished by a repeat.

    Everything stays readable meanwhile, and the API may run. Keep a copy of the keyring before and afterwards.
    """
    from service.access.actor import SYSTEM, Caller  # noqa: PLC0415
    from service.app import System  # noqa: PLC0415

    settings = settings_of_running()
    _log_level(settings)
    makes_key = not (settings.keyring_json or settings.vault_url or rewrap)

    async def work(system: System) -> int:
        await system.epoch.refresh()
        caller = Caller(SYSTEM, await system.policies.current())
        if owner:
            version = await system.keys.rotate(caller, owner)
            typer.echo(f"{owner}: version {version} of its data key seals what is written from now on.")
            return 0
        if retire:
            if settings.keyring_json:
                typer.echo(FORMER_KEYS_IN_ENVIRONMENT.format(needed=dict(await system.rotation.needed())))
                return 0
            retired = await system.rotation.retire(caller, settings.keyring_path)
            typer.echo(f"Retired: {', '.join(sorted(retired)) or 'none; there was no former key'}.")
            return 0
        await system.encryption.require_usable()
        keyring = system.keyring
        if makes_key and await system.rotation.is_finished():
            keyring = Keyring.rotate(settings.keyring_path)
            typer.echo(f"{keyring.current_id} is the current key, in {settings.keyring_path}. Keep a copy of it.")
        elif makes_key:
            typer.echo("A rotation was cut off; it is finished first. For another new key, run this again.")
        await system.rotation.announce(caller, keyring)
        await system.epoch.refresh()
        outcome = await system.rotation.rewrap(caller, _progress)
        for what, count in outcome.done.items():
            typer.echo(f"{what}: {count} wrapped by {outcome.current}, {outcome.already[what]} were already.")
        if outcome.unopened:
            typer.echo(f"No key opens those of {', '.join(sorted(outcome.unopened))}; they stay as they are.", err=True)
        if not makes_key and not rewrap:
            typer.echo(NEW_KEY_IN_VAULT if settings.vault_url else NEW_KEY_IN_ENVIRONMENT)
        return 1 if outcome.unopened else 0

    raise typer.Exit(_with_system(settings, work))


@cli.command()
def rotate_signing_key(
    announce: Annotated[
        bool, typer.Option("--announce", help="Add a key that only verifies; put it in force by the next call.")
    ] = False,
    retire_old: Annotated[
        bool, typer.Option("--retire-old", help="Remove the former keys, once no token of theirs can live.")
    ] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="With --retire-old: now; whatever they signed is refused.")
    ] = False,
) -> None:
    """Signs access tokens with a new key from now on; running processes take it up by themselves, and former keys go
    on verifying until they are retired.
    """
    from service.app import System  # noqa: PLC0415
    from service.crypto import signing  # noqa: PLC0415

    settings = settings_of_running()
    if settings.keyring_json is not None:
        raise LookupError("the keyring is in ANJUAN_KEYRING_JSON; change it there, and restart")
    if announce and retire_old:
        raise LookupError("announce a key or retire the former ones, one after the other")
    path, lived = settings.keyring_path, None if at_once else timedelta(seconds=settings.access_token_seconds + 60)

    async def change(system: System) -> None:
        if announce:
            kid = signing.announce_signing_key(path)
            await system.identity.keys_changed("signing_key.announce", key=kid)
            typer.echo(f"{kid} verifies. Bring the keyring to every machine, then: anjuan rotate-signing-key")
        elif retire_old:
            gone = signing.retire_signing_keys(path, lived)
            await system.identity.keys_changed("signing_key.retire", keys=gone)
            typer.echo(f"Retired: {', '.join(gone) or 'none'}.")
        else:
            former, kid = signing.rotate_signing_key(path)
            await system.identity.keys_changed("signing_key.rotate", former=former, key=kid)
            typer.echo(f"{kid} signs; {former} goes on verifying. Keep a copy of the keyring.")

    _with_system(settings, change)


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
    from service.app import System  # noqa: PLC0415

    async def make(system: System) -> None:
        await system.epoch.refresh()
        made = await system.identity.seed_department({"key": key, "name": {"zh-CN": zh, "en": en}})
        typer.echo(f"{made.id} {made.key}")

    _with_system(settings_of_running(), make)


@users.command("create")
def create_user(
    email: str,
    name: str,
    role: Annotated[list[Role], typer.Option(help="May be given several times.")],
    department: Annotated[str | None, typer.Option(help="Key of the department.")] = None,
) -> None:
    """Makes an account and tells its first password once."""
    from service.app import System  # noqa: PLC0415

    async def make(system: System) -> None:
        await system.epoch.refresh()
        found = [d for d in await system.identity.departments() if d.key == department]
        if department and not found:
            raise LookupError(f"no department {department}")
        values = {"email": email, "name": name, "roles": [r.value for r in role]}
        made = await system.identity.seed_user({**values, "department": found[0].id if found else None})
        typer.echo(f"{made.user.id} {made.user.email} {made.initial_password}")

    _with_system(settings_of_running(), make)


@policies.command("show")
def show_policy(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As documents have it.")] = False,
    of_seed: Annotated[bool, typer.Option("--seed", help="What a new system begins with.")] = False,
    into: Annotated[Path | None, typer.Option(help="Put the seed's tables between this document's marks.")] = None,
) -> None:
    """Prints the policy in force; the one that a new system begins with where no database is configured."""
    from service.app import System  # noqa: PLC0415
    from service.policies.service import seed_data  # noqa: PLC0415
    from service.policies.shown import markdown, placed, tables  # noqa: PLC0415

    async def stored(system: System) -> dict[str, Any]:
        return await system.policies.table() or seed_data()

    if into is not None:
        into.write_text(placed(into.read_text("utf-8"), seed_data()), "utf-8")
        return
    settings = settings_of_running()
    content = seed_data() if of_seed or settings.mongo_url is None else _with_system(settings, stored)
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


def _with_system(settings: Settings, use: Callable[..., Awaitable[T]], *, verified: bool = True) -> T:
    """`verified`: only on a database of this program's format, with its keyring; `use` asks for itself otherwise."""
    from service.app import open_system  # noqa: PLC0415

    async def run() -> T:
        system = open_system(settings)
        try:
            if verified:
                await system.installation.verify(system.keyring)
            return await use(system)
        finally:
            await system.close()

    return asyncio.run(run())


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{what}: {done} of {total}" + ("\n" if done >= total else ""), nl=False, err=True)


async def _ask_worker_to_rebuild(system: object) -> None:
    from search.indexer import REBUILD  # noqa: PLC0415
    from service.app import System  # noqa: PLC0415

    assert isinstance(system, System)  # noqa: S101 - for the type checker
    await system.database.transact(lambda unit: system.jobs.enqueue(unit, REBUILD, {}))


def _log_as_json() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _log_level(settings: Settings) -> None:
    level = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40}.get(settings.log_level.upper(), 20)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


if __name__ == "__main__":
    main()
