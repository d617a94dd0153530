"""A bucket of S3 or of anything that speaks like it (BK-1..7): MinIO's client, in threads; its only import."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fluxless import limits
from fluxless.addresses import refusal
from fluxless.bucket.objects import LARGEST, MOST, BucketProblem, BucketRefused, too_large, too_many
from fluxless.disk import DiskFull, written
from fluxless.transport import Proxy, Tls

if TYPE_CHECKING:
    from fluxless.bucket.pools import Lines

T = TypeVar("T")
CHUNK = 1 << 20
_REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidTokenId"}
AT_ONCE = 16


class S3Bucket:
    """`endpoint` is `host[:port]`. `ldap` is (endpoint, username, password, TLS) of a security token service."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        key: str = "",
        secret: str = "",
        region: str = "",
        secure: bool = True,
        tls: Tls | None = None,
        proxy: Proxy | None = None,
        ldap: tuple[str, str, str, Tls] | None = None,
        timeout: float = 60.0,
    ) -> None:
        from minio import Minio
        from minio.credentials.providers import LdapIdentityProvider

        from fluxless.bucket.pools import Lines

        self._name = bucket
        self._timeout = timeout
        self._lines = Lines()
        self._threads = ThreadPoolExecutor(AT_ONCE, "bucket")
        self._pools = [_pool(tls or Tls(), proxy, timeout, self._lines)]
        credentials: Any = None
        if ldap is not None:
            address, username, password, trust = ldap
            self._pools.append(_pool(trust, proxy, timeout, self._lines))
            credentials = LdapIdentityProvider(address, username, password, http_client=self._pools[1])
        try:
            self._client = Minio(
                endpoint,
                access_key=key or None,
                secret_key=secret or None,
                secure=secure,
                region=region or None,
                http_client=self._pools[0],
                credentials=credentials,
            )
        except ValueError as error:
            step = "give host and port, without a scheme or path"
            raise BucketProblem(f"endpoint '{endpoint}' cannot be used: {error}", step) from None

    async def index(self, prefix: str) -> dict[str, str]:
        """See `Objects`."""
        return await self._in_thread(self._index, prefix)

    async def fetch(self, key: str, target: Path) -> str | None:
        """See `Objects`."""
        return await self._in_thread(self._fetch, key, target)

    async def close(self) -> None:
        """See `Objects`. Threads that still wait for the server end."""
        self._lines.hang_up()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools:
            pool.clear()

    async def _in_thread(self, work: Callable[..., T], *given: Any) -> T:
        """In threads of this bucket alone: a server that does not end its answer holds up nobody else's."""
        try:
            async with asyncio.timeout(limits.FETCH_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        except TimeoutError:
            self._lines.hang_up()
            words = f"bucket '{self._name}' cannot be read: no end of an answer within {limits.FETCH_SECONDS} s"
            raise BucketProblem(words, "check spec.endpoint; it is tried again") from None

    def _index(self, prefix: str) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            for entry in self._client.list_objects(self._name, prefix=prefix or None, recursive=True):
                found[str(entry.object_name)] = str(entry.etag or "").strip('"')
                if len(found) > MOST:
                    raise too_many(self._name)
        except BucketProblem:
            raise
        except Exception as error:  # MinIO's, urllib3's and the parser's have nothing in common
            raise self._problem(error) from error
        return found

    def _fetch(self, key: str, target: Path) -> str | None:
        try:
            answer = self._client.get_object(self._name, key)
            try:
                size = int(answer.headers.get("Content-Length") or 0)
                if size > LARGEST:
                    raise too_large(self._name, key, size)
                size = 0
                with written(target, f"object '{key}' of bucket '{self._name}'") as file:
                    for chunk in answer.stream(CHUNK):
                        size += len(chunk)
                        if size > LARGEST:
                            raise too_large(self._name, key, size)
                        file.write(chunk)
                return str(answer.headers.get("ETag", "")).strip('"')
            finally:
                answer.close()
                answer.release_conn()
        except (BucketProblem, DiskFull):
            raise
        except Exception as error:
            if getattr(error, "code", "") == "NoSuchKey":
                return None
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> BucketProblem:
        from urllib3.exceptions import HTTPError

        if (refused := refusal(error)) is not None:
            return BucketProblem(f"bucket '{self._name}' cannot be read: {refused}", refused.next_step)
        code = str(getattr(error, "code", "") or "")
        if code == "NoSuchBucket":
            return BucketProblem(f"bucket '{self._name}' not found", "create it, or correct spec.bucketName")
        if code in _REFUSED:
            step = "correct accesskey and secretkey in the Secret of spec.secretRef, or the rights of their user"
            return BucketRefused(f"access to bucket '{self._name}' denied ({code})", step)
        step = "check spec.endpoint, spec.insecure and that the app can reach it; it is tried again"
        words = str(error).splitlines()[0][:300] if isinstance(error, HTTPError) else code or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in words:
            step = "give the CA that signed the server's certificate in spec.certSecretRef"
        return BucketProblem(f"bucket '{self._name}' cannot be read: {words}", step)


def _pool(tls: Tls, proxy: Proxy | None, timeout: float, lines: Lines) -> Any:
    import urllib3

    from fluxless.bucket.pools import judged

    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=min(timeout, 10.0), read=timeout),
        "maxsize": AT_ONCE,
        "retries": urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
        "ssl_context": tls.context(),
    }
    if proxy is None:
        return judged(urllib3.PoolManager(**options), lines)
    if proxy.address.startswith("socks5://"):
        raise BucketProblem("a socks5 proxy cannot be used for buckets", "give an http proxy in spec.proxySecretRef")
    headers = urllib3.make_headers(proxy_basic_auth=f"{proxy.username}:{proxy.password}") if proxy.username else None
    return judged(urllib3.ProxyManager(proxy.address, proxy_headers=headers, **options), lines)
