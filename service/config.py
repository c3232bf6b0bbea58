"""Settings: the only reader of the environment. Each part of the system is replaced by one of them."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ANJUAN_"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class BadSettings(Exception):
    """The environment or `.env` has a setting that can't be meant; the text names it and what is accepted, never
    its value.
    """


class Settings(BaseSettings):
    """Read from `ANJUAN_*` variables and, below them, from a `.env` file. Units stand in the names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore")

    env: Literal["development", "production"] = Field("development", description="development also serves GraphiQL")
    data_dir: Path = Field(Path(".anjuan"), description="secrets, embedded servers, embedded index")
    local_ports: str = Field(
        "", description="ports of the embedded servers: auto, or mongo=27200,s3=18400; unset: defaults"
    )
    host: str = Field("127.0.0.1", description="address that the API listens on")
    port: int = Field(8420, ge=1, le=65535, description="port that the API listens on")
    public_url: str | None = Field(None, description="the API's address as clients see it; unset: http(s)://host:port")
    mongo_url: SecretStr | None = Field(None, description="MongoDB replica set; unset: embedded mongod")
    mongo_driver: Literal["pymongo", "motor"] = Field("pymongo", description="which driver opens MongoDB")
    database: str = Field("anjuan", description="database name")
    s3_endpoint: str | None = Field(None, description="http(s)://host:port of an S3 with Object Lock; unset: embedded")
    s3_access_key: SecretStr | None = Field(None, description="S3 access key")
    s3_secret_key: SecretStr | None = Field(None, description="S3 secret key")
    s3_bucket: str = Field("anjuan", description="bucket for evidence; made with Object Lock by init")
    s3_region: str = Field("us-east-1", description="S3 region")
    search_url: SecretStr | None = Field(None, description="an Elasticsearch 8 or 9; unset: embedded Tantivy")
    keyring: Path | None = Field(None, description="keyring file, mode 0600; unset: keyring.json in the data directory")
    keyring_json: SecretStr | None = Field(None, description="the keyring itself, instead of a file")
    vault_url: str | None = Field(None, description="a Vault or OpenBao that wraps data keys; unset: the keyring does")
    vault_token: SecretStr | None = Field(
        None, description="Vault token that may encrypt, decrypt, rewrap, read the key"
    )
    vault_key: str = Field("anjuan", description="name of the transit key, made with derived=true")
    vault_mount: str = Field("transit", description="where Vault's transit engine is mounted")
    tls_cert: Path | None = Field(None, description="certificate chain (PEM) for the API")
    tls_key: Path | None = Field(None, description="private key (PEM) for the API")
    trusted_proxies: str = Field("", description="addresses whose X-Forwarded-For counts, comma separated")
    cors_origins: str = Field("", description="other origins whose pages may use the API, comma separated")
    token_issuer: str = Field("anjuan", description="`iss` of access tokens")
    token_audience: str = Field("anjuan-api", description="`aud` of access tokens")
    oidc_issuer: str | None = Field(None, description="an outside issuer (OpenID Connect), exactly as it names itself")
    oidc_audience: str | None = Field(
        None, description="`aud` of the issuer's access tokens for this API; unset: refused"
    )
    oidc_client_id: str | None = Field(None, description="our client id there; unset: nobody signs in by it")
    oidc_client_secret: SecretStr | None = Field(None, description="our secret there; unset: a public client (PKCE)")
    oidc_algorithm: Literal["RS256", "ES256", "EdDSA"] = Field("RS256", description="what its tokens are signed by")
    oidc_scopes: str = Field("openid profile email", description="what is asked for at sign-in")
    oidc_groups_claim: str = Field("groups", description="the claim that lists somebody's groups")
    oidc_groups: str = Field("", description='JSON: {"group": "ROLE@department-key"}, or a list of such for a group')
    oidc_return_url: str | None = Field(None, description="the page that gets the sign-in code; unset: it is shown")
    introspection: bool | None = Field(None, description="whether the schema may be asked for; unset: in development")
    documents: Path | None = Field(None, description="directory of registered documents (*.graphql); unset: none")
    documents_only: bool = Field(False, description="answer registered documents only")
    cost_limit: int = Field(500_000, ge=1, description="largest cost of one operation")
    cost_per_minute: int = Field(
        100_000_000,
        ge=1,
        description="cost that one actor may spend in a minute, per process; expensive operations: in all",
    )
    operation_seconds: float = Field(20, gt=0, description="time after which an operation is given up")
    reading_limit_ten_minutes: int = Field(
        1_000, ge=1, description="records that one account may see in full in ten minutes before it is locked"
    )
    reading_limit_hour: int = Field(3_000, ge=1, description="the same in an hour")
    reading_limit_day: int = Field(10_000, ge=1, description="the same in a day")
    reading_limit_network_factor: int = Field(
        10, ge=0, description="how many times as many all accounts of one network source may see; 0: no limit"
    )
    access_token_seconds: int = Field(600, ge=1, description="life of an access token")
    refresh_token_days: int = Field(14, ge=1, description="life of a session without use")
    lookups_per_minute: int = Field(
        60, ge=1, description="whole numbers that one actor may look for in a minute, by equality or in texts"
    )
    lookups_per_day: int = Field(1_000, ge=1, description="the same for a day")
    upload_limit_bytes: int = Field(200 * 1024 * 1024, ge=1, description="largest file accepted")
    retention_years: int = Field(3, description="COMPLIANCE retention set on archived evidence (R43)")
    time_zone: str = Field("Asia/Shanghai", description="time zone of the business calendar")
    log_level: str = Field("INFO", description="log level")

    @field_validator("mongo_url")
    @classmethod
    def _is_mongo_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("mongodb://user:password@host:port/?replicaSet=name")
        return value

    @field_validator("database")
    @classmethod
    def _is_database(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", value):
            raise ValueError("a name of at most 63 letters, digits, _ and -")
        return value

    @field_validator("s3_bucket")
    @classmethod
    def _is_bucket(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
            raise ValueError("a name of 3 to 63 lower-case letters, digits, . and -")
        return value

    @field_validator("s3_endpoint", "vault_url")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value:
            _require_http(value, "http(s)://host:port")
            if urlsplit(value).path not in ("", "/") or urlsplit(value).username:
                raise ValueError("http(s)://host:port and nothing more")
        return value

    @field_validator("search_url")
    @classmethod
    def _is_search_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            _require_http(value.get_secret_value(), "http(s)://user:password@host:port")
        return value

    @field_validator("vault_key", "vault_mount")
    @classmethod
    def _is_vault_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
            raise ValueError("a name of at most 64 letters, digits, _ and -")
        return value

    @field_validator("public_url")
    @classmethod
    def _is_public_url(cls, value: str | None) -> str | None:
        if value:
            _require_http(value, "http(s)://host, as clients see it")
        return value

    @field_validator("oidc_issuer", "oidc_return_url")
    @classmethod
    def _is_safe_address(cls, value: str | None) -> str | None:
        if value:
            form = "https://host/path, or http:// on this machine, without query and fragment"
            _require_http(value, form)
            parts = urlsplit(value)
            here = parts.hostname in ("127.0.0.1", "::1", "localhost")
            if (parts.scheme != "https" and not here) or parts.query or parts.fragment or parts.username:
                raise ValueError(form)
        return value

    @model_validator(mode="after")
    def _are_apart(self) -> Settings:
        """An ID token must never be an access token, nor the issuer's token one of ours."""
        if self.oidc_issuer and self.oidc_issuer == self.token_issuer:
            raise ValueError("ANJUAN_OIDC_ISSUER must differ from ANJUAN_TOKEN_ISSUER.")
        if self.oidc_audience and self.oidc_audience == self.oidc_client_id:
            raise ValueError("ANJUAN_OIDC_AUDIENCE must differ from ANJUAN_OIDC_CLIENT_ID.")
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            for part in filter(None, (part.strip() for part in value.split(","))):
                ip_network(part, strict=False)
        except ValueError:
            raise ValueError("addresses or networks, comma separated: 10.0.0.0/8,192.168.1.7") from None
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (LookupError, ValueError, OSError):
            raise ValueError("a time zone's name, such as Asia/Shanghai") from None
        return value

    @field_validator("log_level")
    @classmethod
    def _is_level(cls, value: str) -> str:
        if value.upper() not in LOG_LEVELS:
            raise ValueError(" or ".join(LOG_LEVELS))
        return value

    @field_validator("tls_cert", "tls_key")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value and not value.is_file():
            raise ValueError("the path of a PEM file that is there")
        return value

    @classmethod
    def read(cls, **given: Any) -> Settings:
        """From the environment; `given` comes before it. Raises BadSettings."""
        try:
            return cls(**given)
        except ValidationError as error:
            wrong = [_sentence(item["loc"], item["msg"]) for item in error.errors(include_input=False)]
        raise BadSettings(" ".join(wrong) + " Correct it in the environment or in .env.")

    @property
    def may_introspect(self) -> bool:
        """Whether the schema may be asked for."""
        return self.env == "development" if self.introspection is None else self.introspection

    @property
    def keyring_path(self) -> Path:
        """Where the keyring file is."""
        return self.keyring or self.data_dir / "keyring.json"

    @property
    def other_origins(self) -> frozenset[str]:
        """Origins of pages that may use the API, as browsers write them, beside its own."""
        return frozenset(part.strip().rstrip("/").lower() for part in self.cors_origins.split(",") if part.strip())

    @property
    def own_origin(self) -> str:
        """The API's own origin, as browsers write it."""
        parts = urlsplit(self.url.lower())
        is_default = parts.port == {"http": 80, "https": 443}.get(parts.scheme)
        host = parts.netloc.removesuffix(f":{parts.port}") if is_default else parts.netloc
        return f"{parts.scheme}://{host}"

    @property
    def url(self) -> str:
        """The API's own address, as clients see it."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"{'https' if self.tls_cert else 'http'}://{self.host}:{self.port}"


def _require_http(value: str, form: str) -> None:
    """Raises ValueError with the form to write unless it is an http(s) URL with a host."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(form)
    _ = parts.port  # raises ValueError for a port that is none


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    """Pydantic's own messages begin with "Input should be", those of the validators above are the form itself, and of
    all settings together a sentence.
    """
    own = message.removeprefix("Value error, ")
    if not place:
        return own
    name = str(place[0])
    text = f"should be {own}" if own != message else message.replace("Input ", "", 1)
    return f"{PREFIX}{name.upper()} {text}."
