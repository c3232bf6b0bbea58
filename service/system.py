"""The system: every part, and how they are wired. What API, worker and commands open."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson
import structlog

from schema.cursors import Cursors
from search.engines.embedded import EmbeddedIndex
from search.indexer import Indexer
from search.keyed import KeyedTokens
from search.port import SearchEngine
from search.service import Search
from service.access.actor import IdempotencyMark
from service.archive.service import Archive
from service.cases import repository as cases_repository
from service.cases.calendar import Calendar, ChineseWorkdays
from service.cases.service import Cases
from service.compliance import repository as compliance_repository
from service.compliance.reveals import Reveals
from service.compliance.service import Compliance
from service.config import Settings
from service.crypto import BlindIndex, KeyEncryption, Keyring, KeyringEncryption, TransitEncryption
from service.crypto.signing import LivingSigningKeys
from service.customers import repository as customers_repository
from service.customers.service import Customers
from service.evidence import repository as evidence_repository
from service.evidence.repository import ObjectKeys
from service.evidence.service import EvidenceRoom
from service.explanations.service import Explanations
from service.identity import outside_repository, service_account_repository
from service.identity import repository as identity_repository
from service.identity.groups import Groups
from service.identity.issuer import Issuer, IssuerSettings
from service.identity.outside import OutsideAccounts
from service.identity.outside_sign_in import OutsideSignIn
from service.identity.service import Identity
from service.identity.service_accounts import ServiceAccounts
from service.installation.rotation import KeyRotation
from service.installation.service import Installation
from service.jobs import repository as jobs_repository
from service.jobs.service import Jobs
from service.journal import repository as journal_repository
from service.journal.service import Journal
from service.journal.windows import Limits, ReadingWindow
from service.keys.repository import KeyRepository
from service.keys.service import Keys
from service.policies import repository as policies_repository
from service.policies.service import Policies
from service.storage import (
    Database,
    Index,
    ObjectTrouble,
    StoreUnreachable,
    UnsafeBucket,
    buckets,
    open_database,
    open_objects,
)
from service.storage.epoch import Epoch
from service.storage.objects import S3Objects
from service.templates import repository as templates_repository
from service.templates.service import Templates

STORES_SECONDS = 60.0
"""How long a process that starts waits for its database."""
log = structlog.get_logger("anjuan.start")

INDEXES: tuple[Index, ...] = tuple(
    chain.from_iterable(
        module.INDEXES
        for module in (
            cases_repository,
            compliance_repository,
            customers_repository,
            evidence_repository,
            identity_repository,
            jobs_repository,
            journal_repository,
            outside_repository,
            service_account_repository,
            policies_repository,
            templates_repository,
            buckets,
        )
    )
)


@dataclass(slots=True)
class System:
    """Every part, opened lazily: no connection is made before the first operation."""

    settings: Settings
    database: Database
    objects: S3Objects
    engine: SearchEngine
    keyring: Keyring
    encryption: KeyEncryption
    keys: Keys
    installation: Installation
    rotation: KeyRotation
    epoch: Epoch
    journal: Journal
    jobs: Jobs
    policies: Policies
    identity: Identity
    service_accounts: ServiceAccounts
    outside: OutsideAccounts | None
    outside_sign_in: OutsideSignIn | None
    templates: Templates
    customers: Customers
    cases: Cases
    evidence: EvidenceRoom
    archive: Archive
    explanations: Explanations
    compliance: Compliance
    search: Search
    indexer: Indexer
    cursors: Cursors

    def idempotency_mark(self, actor: str, mutation: str, key: str, values: Any) -> IdempotencyMark:
        """Keyed hashes of (actor, mutation, key) and of the input."""
        secret = self.keyring.secret("idempotency")
        named = orjson.dumps([actor, mutation, key])
        asked = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
        return IdempotencyMark(
            hmac.new(secret, named, hashlib.sha256).hexdigest(), hmac.new(secret, asked, hashlib.sha256).hexdigest()
        )

    async def prepare(self) -> None:
        """What `anjuan init` does: format and keyring written down, indexes, bucket, policy. May be repeated.

        Raises Unfit, before anything was changed; StoreUnreachable, ObjectTrouble.
        """
        await self.installation.verify(self.keyring, founding=True)
        await self.encryption.require_usable()
        await self.database.ensure(INDEXES)
        await self.objects.prepare()
        await self.policies.seed()
        await self.epoch.refresh()

    async def begin(self) -> None:
        """What the API does once before its processes serve: `require_fit`, and the steps of the policy that an older
        program did not know. Raises the same.
        """
        await self.require_fit()
        await self.policies.complete()

    async def require_fit(self) -> None:
        """At the start of API and worker: format, keyring and bucket are what they must be. Waits for a database that
        is starting too. Raises Unfit, UnsafeBucket, KeyringError; StoreUnreachable after STORES_SECONDS.
        """
        deadline = time.monotonic() + STORES_SECONDS
        while True:
            try:
                await self.installation.verify(self.keyring)
                break
            except StoreUnreachable as error:
                if not error.may_pass or time.monotonic() > deadline:
                    raise
                log.warning("waiting for the database", where=self.database.where)
                await asyncio.sleep(1)
        await self.encryption.require_usable()
        try:
            await self.objects.require_safe_bucket()
        except UnsafeBucket:
            raise
        except ObjectTrouble as trouble:  # `/readyz` says so until it is there; what needs no files goes on
            log.warning("the object store does not answer yet", trouble=type(trouble.__cause__).__name__)

    async def close(self) -> None:
        """Closes every client."""
        self.identity.close()
        self.encryption.close()
        if self.outside is not None:
            await self.outside.issuer.close()
        await self.engine.close()
        await self.objects.close()
        await self.database.close()


def load_keyring(settings: Settings) -> Keyring:
    """From the environment, or the keyring file. Raises KeyringError."""
    if settings.keyring_json is not None:
        return Keyring.from_json(settings.keyring_json.get_secret_value())
    return Keyring.load(settings.keyring_path)


def _encryption(settings: Settings, keyring: Keyring, epoch: Epoch) -> KeyEncryption:
    """What wraps data keys: Vault where one is named, else the keyring, which is read again when the epoch rose."""
    ours = KeyringEncryption(keyring, None if settings.keyring_json else settings.keyring_path)
    epoch.on_change(ours.look_again)
    if settings.vault_url is None:
        return ours
    token = settings.vault_token.get_secret_value() if settings.vault_token else ""
    return TransitEncryption(settings.vault_url, token, settings.vault_key, ours, mount=settings.vault_mount)


def _open_database(settings: Settings) -> Database:
    if settings.mongo_url is None or settings.s3_endpoint is None:
        raise LookupError("no MongoDB or S3 is configured; `anjuan up` starts embedded ones")
    return open_database(settings.mongo_url.get_secret_value(), settings.database, settings.mongo_driver)


def _open_outside(
    settings: Settings, database: Database, identity: Identity, journal: Journal
) -> tuple[OutsideAccounts | None, OutsideSignIn | None]:
    """People of an outside issuer, where one is configured. Raises LookupError for groups that can't be meant."""
    if settings.oidc_issuer is None:
        return None, None
    secret = settings.oidc_client_secret
    issuer = Issuer(
        IssuerSettings(
            settings.oidc_issuer,
            settings.oidc_audience,
            settings.oidc_client_id,
            secret.get_secret_value() if secret else None,
            settings.oidc_algorithm,
            settings.oidc_scopes,
            settings.oidc_groups_claim,
        )
    )
    accounts = OutsideAccounts(database, identity, journal, issuer, Groups(settings.oidc_groups))
    identity.open_door(accounts)
    is_client = settings.oidc_client_id is not None
    return accounts, OutsideSignIn(issuer, accounts, f"{settings.url}/oidc/callback") if is_client else None


async def make_keyring(settings: Settings) -> bool:
    """Makes the keyring file of a new installation; False where there is one. Raises Unfit when it is gone but its
    data is there; StoreUnreachable, KeyringError.
    """
    if settings.keyring_json is not None or settings.keyring_path.exists():
        return False
    database = _open_database(settings)
    try:
        await Installation(database).require_new(settings.keyring_path)
    finally:
        await database.close()
    settings.keyring_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    Keyring.create(settings.keyring_path)
    return True


def open_system(settings: Settings, *, writes_index: bool = False) -> System:
    """Wires everything. `writes_index`: this process owns the embedded index's only writer."""
    database = _open_database(settings)
    objects = open_objects(
        settings.s3_endpoint or "",
        settings.s3_access_key.get_secret_value() if settings.s3_access_key else "",
        settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else "",
        settings.s3_bucket,
        region=settings.s3_region,
    )
    engine: SearchEngine
    if settings.search_url is not None:
        from search.engines.elastic import ElasticIndex  # noqa: PLC0415 - half of the start-up, for those who use it

        engine = ElasticIndex(settings.search_url.get_secret_value(), prefix=settings.database)
    else:
        index = settings.data_dir / "index"
        index.mkdir(parents=True, exist_ok=True, mode=0o700)  # the index holds words of narratives
        engine = EmbeddedIndex(index, writer=writes_index)
    keyring = load_keyring(settings)
    epoch = Epoch(database)
    journal, jobs = Journal(database), Jobs(database)
    policies = Policies(database, epoch, journal)
    signing = LivingSigningKeys(keyring, None if settings.keyring_json else settings.keyring_path)
    epoch.on_change(signing.look_again)
    identity = Identity(
        database,
        signing,
        epoch,
        journal,
        policies,
        issuer=settings.token_issuer,
        audience=settings.token_audience,
        access_seconds=settings.access_token_seconds,
        refresh_days=settings.refresh_token_days,
    )
    policies.for_staff(identity)
    programs = ServiceAccounts(database, identity, journal)
    identity.open_door(programs)
    outside, outside_sign_in = _open_outside(settings, database, identity, journal)
    encryption = _encryption(settings, keyring, epoch)
    keys = Keys(database, encryption, epoch, journal)
    templates = Templates(database, epoch, journal)
    blind = BlindIndex(keyring.secret)
    keyed = KeyedTokens(blind)
    customers = Customers(
        database,
        keys,
        blind,
        journal,
        jobs,
        templates,
        identity,
        lookups_per_minute=settings.lookups_per_minute,
        lookups_per_day=settings.lookups_per_day,
    )
    calendar = Calendar(ChineseWorkdays(), settings.time_zone)
    cases = Cases(database, keys, journal, templates, identity, customers, calendar, blind)
    evidence = EvidenceRoom(
        database,
        keys,
        encryption,
        objects,
        journal,
        jobs,
        customers,
        cases,
        public_url=settings.url,
        upload_limit_bytes=settings.upload_limit_bytes,
    )
    templates.resolve_by(
        {"usr": identity.knows, "cus": customers.reaches, "cas": cases.reaches, "evd": evidence.reaches}
    )
    reveals = Reveals(database, journal, identity, templates, customers, cases, evidence)
    compliance = Compliance(database, journal, identity, reveals, limits=limits_of(settings))
    archive = Archive(database, cases, evidence, templates, jobs, retention_years=settings.retention_years)
    return System(
        settings=settings,
        database=database,
        objects=objects,
        engine=engine,
        keyring=keyring,
        encryption=encryption,
        keys=keys,
        installation=Installation(database),
        rotation=KeyRotation(database, journal, encryption, (KeyRepository(database), ObjectKeys(database))),
        epoch=epoch,
        journal=journal,
        jobs=jobs,
        policies=policies,
        identity=identity,
        service_accounts=programs,
        outside=outside,
        outside_sign_in=outside_sign_in,
        templates=templates,
        customers=customers,
        cases=cases,
        evidence=evidence,
        archive=archive,
        compliance=compliance,
        explanations=Explanations(journal, identity, customers, cases, evidence),
        search=Search(engine, journal, cases, customers, evidence, keyed),
        indexer=Indexer(engine, journal, cases, customers, evidence, keyed, settings.time_zone),
        cursors=Cursors(keyring.secret("cursor")),
    )


def limits_of(settings: Settings) -> Limits:
    """How much one account, and one network, may read."""
    by_window = {
        ReadingWindow.TEN_MINUTES: settings.reading_limit_ten_minutes,
        ReadingWindow.HOUR: settings.reading_limit_hour,
        ReadingWindow.DAY: settings.reading_limit_day,
    }
    return Limits(by_window, settings.reading_limit_network_factor)
