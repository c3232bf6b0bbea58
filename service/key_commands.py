"""Commands that make and retire keys: `anjuan rotate-keys`, `anjuan rotate-signing-key`."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import typer

from service.commands import set_log_level, settings_of_running, with_system
from service.crypto import Keyring

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
    from service.system import System  # noqa: PLC0415

    settings = settings_of_running()
    set_log_level(settings)
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

    raise typer.Exit(with_system(settings, work))


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
    from service.crypto import signing  # noqa: PLC0415
    from service.system import System  # noqa: PLC0415

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

    with_system(settings, change)


def _progress(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{what}: {done} of {total}" + ("\n" if done >= total else ""), nl=False, err=True)
