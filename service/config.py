"""Settings: the only reader of the environment. Each part of the system is replaced by one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from `ANJUAN_*` variables and, below them, from a `.env` file. Units stand in the names."""

    model_config = SettingsConfigDict(env_prefix="ANJUAN_", env_file=".env", extra="ignore")

    env: Literal["development", "production"] = Field("development", description="development also serves GraphiQL")
    data_dir: Path = Field(Path(".anjuan"), description="secrets, embedded servers, embedded index")
    local_ports: str = Field(
        "", description="ports of the embedded servers: auto, or mongo=27200,s3=18400; unset: defaults"
    )
    host: str = Field("127.0.0.1", description="address that the API listens on")
    port: int = Field(8420, description="port that the API listens on")
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
    tls_cert: Path | None = Field(None, description="certificate chain (PEM) for the API")
    tls_key: Path | None = Field(None, description="private key (PEM) for the API")
    trusted_proxies: str = Field("", description="addresses whose X-Forwarded-For counts, comma separated")
    token_issuer: str = Field("anjuan", description="`iss` of access tokens")
    token_audience: str = Field("anjuan-api", description="`aud` of access tokens")
    introspection: bool | None = Field(None, description="whether the schema may be asked for; unset: in development")
    documents: Path | None = Field(None, description="directory of registered documents (*.graphql); unset: none")
    documents_only: bool = Field(False, description="answer registered documents only")
    cost_limit: int = Field(500_000, description="largest cost of one operation")
    cost_per_minute: int = Field(100_000_000, description="cost that one actor may spend in a minute, per process")
    operation_seconds: float = Field(20, description="time after which an operation is given up")
    access_token_seconds: int = Field(600, description="life of an access token")
    refresh_token_days: int = Field(14, description="life of a session without use")
    upload_limit_bytes: int = Field(200 * 1024 * 1024, description="largest file accepted")
    retention_years: int = Field(3, description="COMPLIANCE retention set on archived evidence (R43)")
    time_zone: str = Field("Asia/Shanghai", description="time zone of the business calendar")
    log_level: str = Field("INFO", description="log level")

    @property
    def may_introspect(self) -> bool:
        """Whether the schema may be asked for."""
        return self.env == "development" if self.introspection is None else self.introspection

    @property
    def keyring_path(self) -> Path:
        """Where the keyring file is."""
        return self.keyring or self.data_dir / "keyring.json"

    @property
    def url(self) -> str:
        """The API's own address, as clients see it."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"{'https' if self.tls_cert else 'http'}://{self.host}:{self.port}"
