"""A signature, its certificates and a trust policy are a tenant's: notation reaches nobody near the app for them."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from fluxless.oci import media
from fluxless.render import notation, outlet
from fluxless.render.notation import NotationRefuses
from tests.support import serving
from tests.support.signatures import trust_policy


@pytest_asyncio.fixture(loop_scope="session")
async def neighbour() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Something that listens near the app, and what it was sent."""
    head = b"HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with serving.neighbour(head) as found:
        yield found


class Tenant:
    """Has an authority of its own, an image, and a signature whose certificate says where it can be asked about."""

    def __init__(self, folder: Path, ocsp: str, form: str) -> None:
        self.layout, home = folder / "layout", folder / "home"
        config = b"{}"
        blob = f"sha256:{hashlib.sha256(config).hexdigest()}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": media.MANIFEST,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": blob, "size": len(config)},
            "layers": [],
        }
        raw = json.dumps(manifest).encode()
        self.digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        for digest, data in ((blob, config), (self.digest, raw)):
            place = self.layout / "blobs" / digest.replace(":", "/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        entry = {"mediaType": media.MANIFEST, "digest": self.digest, "size": len(raw)}
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        (self.layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        keys = home / "notation" / "localkeys"
        keys.mkdir(parents=True)
        self.certificate = _chain(keys, ocsp)
        key = {"name": "k", "keyPath": str(keys / "k.key"), "certPath": str(keys / "k.crt")}
        (home / "notation" / "signingkeys.json").write_text(json.dumps({"default": "k", "keys": [key]}))
        done = subprocess.run(
            [
                *(os.environ["FLUXLESS_NOTATION"], "sign", "--signature-format", form),
                *("--oci-layout", f"{self.layout}@{self.digest}"),
            ],
            env={"HOME": str(home), "XDG_CONFIG_HOME": str(home), "NOTATION_EXPERIMENTAL": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    async def verified(self) -> bool:
        policy = trust_policy().encode()
        certificates = {"ca.crt": self.certificate}
        return await notation.verify(self.layout, self.digest, "h/x", policy, certificates, timeout=30)


def _chain(folder: Path, ocsp: str) -> bytes:
    """Writes key and chain; the authority's certificate."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    names = [
        x509.Name(
            [
                x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
                x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "WA"),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Tenant"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in ("authority", "signer")
    ]

    def certificate(number: int) -> x509.CertificateBuilder:
        usage = dict.fromkeys(
            (
                *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
                *("crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(names[number])
            .issuer_name(names[0])
            .public_key(keys[number].public_key())
            .serial_number(number + 1)
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=0 if number == 0 else None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=number == 1, key_cert_sign=number == 0, **usage), critical=True
            )
        )

    where = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(ocsp))
    signer = (
        certificate(1)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.AuthorityInformationAccess([where]), critical=False)
        .sign(keys[0], hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    authority = certificate(0).sign(keys[0], hashes.SHA256()).public_bytes(pem)
    (folder / "k.crt").write_bytes(signer.public_bytes(pem) + authority)
    none = serialization.NoEncryption()
    (folder / "k.key").write_bytes(keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, none))
    return authority


@pytest.mark.parametrize("form", ["jws", "cose"])
@pytest.mark.parametrize("host", ["127.0.0.1", "LocalHost", "x@127.0.0.1"])
async def test_a_certificate_leads_to_nothing_near_the_app(
    tmp_path: Path, neighbour: tuple[int, list[bytes]], strict: None, form: str, host: str
) -> None:
    port, heard = neighbour
    tenant = Tenant(tmp_path, f"http://{host}:{port}/admin", form)
    with pytest.raises(NotationRefuses, match="on the app's own machine"):
        await tenant.verified()
    assert heard == []


async def test_any_other_address_is_judged_when_it_is_connected_to(
    tmp_path: Path, neighbour: tuple[int, list[bytes]]
) -> None:
    port, heard = neighbour
    with pytest.raises(NotationRefuses, match=r"revoked cannot be asked: address 0\.0\.0\.0 is not allowed"):
        await Tenant(tmp_path, f"http://0.0.0.0:{port}/admin", "jws").verified()
    assert heard == []


@pytest.mark.parametrize("redirects", [False, True])
async def test_an_answer_leads_nowhere_else(neighbour: tuple[int, list[bytes]], redirects: bool) -> None:
    """Notation itself would follow it without any proxy."""
    port, heard = neighbour
    async with outlet.opened(timeout=5, redirects=redirects) as way, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}/ocsp"
        async with http.get(url, proxy=way.url, allow_redirects=False) as answer:
            assert answer.status == (307 if redirects else 502)
    assert [head.partition(b"\r\n")[0] for head in heard] == [b"GET /ocsp HTTP/1.1"]


async def test_a_tunnel_leads_to_nothing_near_the_app(neighbour: tuple[int, list[bytes]], strict: None) -> None:
    port, heard = neighbour
    async with outlet.opened(timeout=5) as way:
        reader, writer = await asyncio.open_connection(*way.url.removeprefix("http://").split(":"))
        writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 403")
        writer.close()
        assert way.refused
    assert heard == []


@pytest.mark.parametrize("store", ["ca:..", "ca:../../x", "ca:", "../x:y", "ca:/etc"])
async def test_a_trust_policy_names_no_path(tmp_path: Path, store: str) -> None:
    document = json.loads(trust_policy())
    document["trustPolicies"][0]["trustStores"] = [store]
    policy = json.dumps(document).encode()
    with pytest.raises(NotationRefuses, match="trust store"):
        await notation.verify(tmp_path, f"sha256:{'a' * 64}", "h/x", policy, {"a.crt": b"x"}, timeout=30)


@pytest.mark.parametrize(
    "policy", ["[]", '{"trustPolicies": 5}', '{"trustPolicies": [5]}', "[" * 5000, '{"trustPolicies": {"a": 1}}']
)
async def test_an_odd_trust_policy_is_refused(tmp_path: Path, policy: str) -> None:
    with pytest.raises(NotationRefuses):
        await notation.verify(tmp_path, f"sha256:{'a' * 64}", "h/x", policy.encode(), {"a.crt": b"x"}, timeout=30)
