"""The embedded object store: one SeaweedFS process with master, volume, filer and S3 gateway.

Its S3 gateway enforces versioning and Object Lock. The other parts would let anybody on this machine
change objects behind the gateway's back, so their HTTP sides demand tokens signed with generated keys.
Their gRPC sides don't know the S3 users; they are bound to 127.0.0.1. Telemetry is off.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import HTTPError

from infra.local.directory import DataDirectory, Secrets, write_private
from infra.local.errors import LocalServersError
from infra.local.ports import GRPC_OFFSET, HOST, PAIRED, Ports
from infra.local.process import ServerProcess
from infra.local.programs import find_weed, weed_version

PROBE_BUCKET = "anjuan-probe"
VOLUME_MEGABYTES = 1024
# Volumes are files that grow on demand; every bucket has its own, so the number is no limit in practice.
MOST_VOLUMES = 10_000
START_SECONDS = 90.0
# The filer waits 15 s for its own subscriptions to end; what was acknowledged is in its files by then.
STOP_SECONDS = 3.0


class SeaweedFS:
    """`weed server -s3` on 127.0.0.1 over `<data>/objects`."""

    def __init__(self, directory: DataDirectory, secrets: Secrets, ports: Ports) -> None:
        self._data = directory.path
        self._secrets = secrets
        self._ports = ports
        self.process = ServerProcess("SeaweedFS", "seaweedfs", directory.path)
        self.version = ""

    @property
    def endpoint(self) -> str:
        """Address of the S3 gateway."""
        return f"http://{HOST}:{self._ports.s3}"

    def launch(self, report: Callable[[str], None]) -> None:
        """Start the process; `wait_until_ready` does the rest. Raises MissingLibrary."""
        program = find_weed(self._data)
        self.version = weed_version(program)
        home = self._data / "objects"
        for folder in (home, home / "volumes"):
            folder.mkdir(mode=0o700, exist_ok=True)
        config = home / "s3.json"
        write_private(config, self._config())
        report(f"Starting SeaweedFS {self.version}, S3 on {HOST}:{self._ports.s3}")
        ports = self._ports
        command = [
            str(program), "-logtostderr", "server",
            f"-dir={home / 'volumes'}",
            f"-ip={HOST}", f"-ip.bind={HOST}",
            f"-master.port={ports.master}", "-master.telemetry=false",
            f"-master.volumeSizeLimitMB={VOLUME_MEGABYTES}",
            f"-volume.port={ports.volume}", f"-volume.max={MOST_VOLUMES}", "-volume.preStopSeconds=0",
            "-filer", f"-filer.port={ports.filer}", "-filer.exposeDirectoryData=false",
            # Relative: a socket's path may have 107 characters at most, and the data directory be deep.
            "-filer.localSocket=filer.sock",
            "-s3", f"-s3.port={ports.s3}", f"-s3.config={config}", "-s3.localSocket=s3.sock",
            "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false",
        ]  # fmt: skip
        for socket in ("filer.sock", "s3.sock"):
            (home / socket).unlink(missing_ok=True)
        self._remove_stale_sockets()
        self.process.start(command, cwd=home, environment=self._environment())

    def wait_until_ready(self) -> None:
        """Return as soon as an object was stored and read. Raises ServerFailed."""
        self.process.wait_until(self._stores_an_object, START_SECONDS)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after STOP_SECONDS."""
        self.process.stop(STOP_SECONDS)
        self._remove_stale_sockets()

    def _remove_stale_sockets(self) -> None:
        """A former process with these ports leaves sockets in /tmp, where SeaweedFS always makes them.

        Somebody else's there could pose as one of its parts: raises LocalServersError.
        """
        for part in PAIRED:
            path = Path(f"/tmp/seaweedfs-{part}-grpc-{getattr(self._ports, part) + GRPC_OFFSET}.sock")
            try:
                path.unlink(missing_ok=True)
            except PermissionError as error:
                raise LocalServersError(
                    f"{path} belongs to another user. Remove it as that user, "
                    f"or choose another port with ANJUAN_LOCAL_PORTS={part}=<port>."
                ) from error

    def _config(self) -> str:
        identity = {
            "name": "anjuan",
            "credentials": [{"accessKey": self._secrets.s3_access_key, "secretKey": self._secrets.s3_secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        return json.dumps({"identities": [identity]}, indent=2) + "\n"

    def _environment(self) -> dict[str, str]:
        return {
            "WEED_JWT_SIGNING_KEY": self._secrets.volume_write_key,
            "WEED_JWT_SIGNING_READ_KEY": self._secrets.volume_read_key,
            "WEED_JWT_FILER_SIGNING_KEY": self._secrets.filer_write_key,
            "WEED_JWT_FILER_SIGNING_READ_KEY": self._secrets.filer_read_key,
            # Two writable volumes a bucket instead of seven.
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",
        }

    def _stores_an_object(self) -> bool:
        client = Minio(
            endpoint=f"{HOST}:{self._ports.s3}",
            access_key=self._secrets.s3_access_key,
            secret_key=self._secrets.s3_secret_key,
            secure=False,
            region="us-east-1",
            http_client=PoolManager(retries=False, timeout=Timeout(connect=1, read=5)),
        )
        try:
            if not client.bucket_exists(bucket_name=PROBE_BUCKET):
                client.make_bucket(bucket_name=PROBE_BUCKET)
            body = b"ready"
            client.put_object(bucket_name=PROBE_BUCKET, object_name="ready", data=io.BytesIO(body), length=len(body))
            response = client.get_object(bucket_name=PROBE_BUCKET, object_name="ready")
            try:
                return bool(response.read() == body)
            finally:
                response.close()
        except (MinioException, HTTPError, OSError, ValueError):
            return False
