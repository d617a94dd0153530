"""The Bucket controller: from the objects of a bucket to an artifact in the store (BK and SC rows).

A step in which nothing is new costs one listing and one look at the blob, and writes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import posixpath
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fluxless.api import reasons
from fluxless.api.kinds import Kind
from fluxless.artifacts.ignore import FILE
from fluxless.artifacts.pack import pack
from fluxless.artifacts.repack import OnDisk
from fluxless.auth.purposes import STORAGE, HostRefused
from fluxless.bucket.objects import BucketProblem, BucketRefused, Objects
from fluxless.patterns import IgnoreRules
from fluxless.reconcile.errors import Transient
from fluxless.reconcile.outcome import Outcome
from fluxless.reconcile.services import Services
from fluxless.reconcile.survey import Survey
from fluxless.source import credentials
from fluxless.source.base import SourceController, SourceRun, collect_garbage, invalid
from fluxless.transport import Tls

AT_ONCE = 16
"""Objects that are downloaded at the same time."""


class BucketRun(SourceRun):
    """The state of the step."""

    def __init__(self, kind: Kind, obj: dict[str, Any], survey: Survey, services: Services) -> None:
        super().__init__(kind, obj, survey, services)
        self.index: dict[str, str] = {}  # reconcile_artifact: ETag by key

    @property
    def name(self) -> str:
        """The bucket's."""
        return str(self.spec["bucketName"])

    @contextlib.asynccontextmanager
    async def objects(self) -> AsyncIterator[Objects]:
        """The bucket, with the credentials of the spec."""
        name = credentials.name_of(self, "secretRef")
        data = await credentials.secret(self, name, "secretRef") if name else {}
        provider = str(self.spec.get("provider") or "generic")
        async with contextlib.AsyncExitStack() as stack:
            try:
                if provider == "azure":
                    found: Objects = await self._azure(data, stack)
                elif provider == "gcp" or (provider == "aws" and not name):
                    words = f"provider '{provider}' has no identity in Azure, where Fluxless runs"
                    step = "use provider azure, or generic with access keys in a Secret"
                    raise invalid(self, reasons.INVALID_PROVIDER, words, step)
                else:
                    found = await self._s3(data, f"{self.ref.namespace}/{name}" if name else "")
            except BucketProblem as problem:
                raise _failed(problem) from problem
            stack.push_async_callback(found.close)
            yield found

    async def _azure(self, data: Mapping[str, bytes], stack: contextlib.AsyncExitStack) -> Objects:
        """A container of Azure, by an identity, key or SAS of the Secret, else by the app's identity (AZ-10)."""
        from fluxless.auth.identity import of_secret
        from fluxless.bucket.azure import AzureContainer, with_sas

        endpoint, credential = str(self.spec["endpoint"]), None
        endpoint = endpoint if "://" in endpoint else f"https://{endpoint}"
        proxy, identity = await credentials.proxy(self), None
        try:
            identity = of_secret(data, self.services.settings.ruling_identities)
        except ValueError as error:
            step = "correct the Secret of spec.secretRef"
            raise credentials.refused(self, f"the Secret {error}", step) from None
        except HostRefused as problem:
            raise _denied(problem) from problem
        if identity is not None:
            stack.push_async_callback(identity.close)
        elif data.get("accountKey"):
            credential = data["accountKey"].decode(errors="replace").strip()
        elif data.get("sasKey"):
            endpoint = with_sas(endpoint, data["sasKey"].decode(errors="replace"))
        elif not data:
            identity = await stack.enter_async_context(credentials.identity(self))
        else:
            step = "give tenantId, clientId and clientSecret or clientCertificate; clientId; accountKey; or sasKey"
            raise credentials.refused(self, "the Secret holds no credential of a storage account", step)
        try:
            given = identity.pinned(STORAGE, endpoint, proxy=proxy) if identity is not None else credential
        except HostRefused as problem:
            raise _denied(problem) from problem
        return AzureContainer(endpoint, self.name, given, proxy=proxy, timeout=self.timeout)

    async def _s3(self, data: Mapping[str, bytes], full: str) -> Objects:
        from fluxless.bucket.s3 import S3Bucket

        if full and not (data.get("accesskey") and data.get("secretkey")):
            words = f"invalid '{full}' secret data: required fields 'accesskey' and 'secretkey'"
            raise credentials.refused(self, words, "correct the Secret of spec.secretRef")
        return S3Bucket(
            str(self.spec["endpoint"]),
            self.name,
            key=data.get("accesskey", b"").decode(errors="replace").strip(),
            secret=data.get("secretkey", b"").decode(errors="replace").strip(),
            region=str(self.spec.get("region") or ""),
            secure=not self.spec.get("insecure"),
            tls=await credentials.tls(self),
            proxy=await credentials.proxy(self),
            ldap=None if full else await self._ldap(),
            timeout=self.timeout,
        )

    async def _ldap(self) -> tuple[str, str, str, Tls] | None:
        """Endpoint, user, password and TLS of the service that gives temporary credentials; None without one (BK-6)."""
        sts: dict[str, Any] = self.spec.get("sts") or {}
        if not sts:
            return None
        name = str((sts.get("secretRef") or {}).get("name") or "")
        data = await credentials.secret(self, name, "sts.secretRef") if name else {}
        if not (data.get("username") and data.get("password")):
            words = f"invalid '{name}' secret data for 'ldap' STS provider: required fields username, password"
            raise credentials.refused(self, words, "correct the Secret of spec.sts.secretRef")
        trusted = str((sts.get("certSecretRef") or {}).get("name") or "")
        tls = Tls.of_secret(await credentials.secret(self, trusted, "sts.certSecretRef")) if trusted else Tls()
        username, password = (data[key].decode(errors="replace") for key in ("username", "password"))
        return str(sts["endpoint"]), username, password, tls


class BucketController(SourceController):
    """Lists the bucket, and keeps what is in it as an artifact when the listing has changed."""

    reason = reasons.BUCKET_OPERATION_FAILED

    @property
    def phases(self) -> Sequence[Any]:
        """The steps, in order."""
        return PHASES

    def in_storage(self, run: BucketRun) -> str:
        """Flux's words for this kind."""
        return f"stored artifact: revision '{run.artifact.get('revision', '')}'"


async def reconcile_artifact(run: BucketRun) -> Outcome | None:
    """What is in the bucket, and do we have it; else fetch it. FetchFailed, StorageOperationFailed."""
    async with run.objects() as objects:
        with tempfile.TemporaryDirectory(prefix="fluxless-bucket-") as folder:
            try:
                await _list(run, objects, Path(folder))
                run.fresh = await run.is_current()
                if not run.fresh:
                    run.outdated(f"new upstream revision '{run.revision}'")
                    await run.keep()
                    await _fetch(run, objects, Path(folder))
            except BucketProblem as problem:
                raise _failed(problem) from problem
    return None


async def _list(run: BucketRun, objects: Objects, folder: Path) -> None:
    """List what the root's `.sourceignore` and `spec.ignore` leave in, and make the revision of it (BK-21, BK-22).

    Nothing is left out by default.
    """
    index = await objects.index(str(run.spec.get("prefix") or ""))
    lines: list[str] = []
    if await objects.fetch(FILE, folder / FILE) is not None:
        lines += (await asyncio.to_thread((folder / FILE).read_text, errors="replace")).splitlines()
    lines += str(run.spec.get("ignore") or "").splitlines()
    rules = await asyncio.to_thread(IgnoreRules, lines)
    candidates = [key for key in index if not key.endswith("/") and key != FILE]
    kept = await asyncio.to_thread(lambda: [key for key in candidates if not rules.match(key)])
    run.index = {key: index[key] for key in kept}
    run.revision = _revision(run.index)


def _revision(index: Mapping[str, str]) -> str:
    """The digest of the sorted lines of keys and etags: the same listing has the same revision (BK-21)."""
    text = "".join(f"{key} {index[key]}\n" for key in sorted(index))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


async def _fetch(run: BucketRun, objects: Objects, folder: Path) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    places = {key: folder / f"{number:06d}" for number, key in enumerate(sorted(run.index))}
    paths = {key: _path(run, key) for key in places}

    async def one(key: str) -> None:
        async with slots:
            etag = await objects.fetch(key, places[key])
        if etag is None:
            del run.index[key]  # it has disappeared since
        elif etag:
            run.index[key] = etag  # or was written again

    await asyncio.gather(*(one(key) for key in places))
    run.revision = _revision(run.index)
    files = {paths[key]: OnDisk(places[key], paths[key]) for key in sorted(run.index)}
    ordered = [files[path] for path in sorted(files)]
    packed = await asyncio.to_thread(pack, ordered, folder / "artifact.tar.gz")
    await run.keep_artifact(packed, f"stored artifact with {len(files)} fetched files from '{run.name}' bucket")


def _path(run: BucketRun, key: str) -> str:
    """Keys are any text, paths are not."""
    path = posixpath.normpath(f"/{key}").lstrip("/")
    if not path or "\0" in key:
        words = f"object '{key[:100]}' of bucket '{run.name}' has no usable name"
        raise BucketProblem(words, "leave it out by spec.ignore")
    return path


def _denied(problem: HostRefused) -> Transient:
    return Transient(reasons.AUTHENTICATION_FAILED, problem.failures, condition=reasons.FETCH_FAILED)


def _failed(problem: BucketProblem) -> Transient:
    refused = isinstance(problem, BucketRefused)
    reason = reasons.AUTHENTICATION_FAILED if refused else reasons.BUCKET_OPERATION_FAILED
    return Transient(reason, problem.failures, condition=reasons.FETCH_FAILED)


PHASES = (reconcile_artifact, collect_garbage)
