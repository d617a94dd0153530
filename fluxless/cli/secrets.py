"""`fluxless create secret …`: Secrets as Flux's sources, receivers and verifications read them."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console

from fluxless.cli.session import wrong
from fluxless.kube.client import Cluster
from fluxless.notification.receiver import path_of

Obj = dict[str, Any]
MANAGER = "flux-client-side-apply"
URL_NOTE = "notification.toolkit.fluxcd.io/webhook"
_CURVES = {"p256": "ecdsa-sha2-nistp256", "p384": "ecdsa-sha2-nistp384", "p521": "ecdsa-sha2-nistp521"}


def secret(name: str, namespace: str, data: Mapping[str, str], kind: str = "Opaque", **notes: str) -> Obj:
    """The object; empty values are left out."""
    metadata: Obj = {"name": name, "namespace": namespace}
    if notes:
        metadata["annotations"] = notes
    kept = {key: value for key, value in data.items() if value}
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "stringData": kept}


def read(path: Path | None, flag: str) -> str:
    """The text of a file. Raises `Problem` naming the flag."""
    if path is None:
        return ""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(f"{flag}: {error}", "name a readable PEM file") from None


async def git(
    url: str,
    *,
    username: str,
    password: str,
    bearer: str,
    authority: str,
    key: str,
    algorithm: str,
    bits: int,
    curve: str,
    out: Console,
) -> dict[str, str]:
    """The data of a Secret for a Git URL. For ssh a key is made when none is given, and the server's own is fetched.
    Raises `Problem`.
    """
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"}:
        if not bearer and not (username and password):
            raise wrong("for Git over HTTP/S the username and password, or a bearer token, are required", "give them")
        if bearer and username:
            raise wrong("user credentials and bearer token cannot be used together", "give one of them")
        return {"username": username, "password": password, "bearerToken": bearer, "ca.crt": authority}
    if parts.scheme != "ssh":
        raise wrong(f"git URL scheme '{parts.scheme}' not supported", "use ssh, http or https")
    private, public = _key(key, password, algorithm, bits, curve)
    hosts = await _host_key(parts.hostname or "", parts.port or 22)
    out.print(f"✚ deploy key: {public}")
    return {"identity": private, "identity.pub": public, "known_hosts": hosts, "password": password if key else ""}


def _key(given: str, password: str, algorithm: str, bits: int, curve: str) -> tuple[str, str]:
    import asyncssh

    if given:
        try:
            loaded = asyncssh.import_private_key(given, passphrase=password or None)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise wrong(
                f"--private-key-file: {error}", "name a private key, and its passphrase by --password"
            ) from None
        return given, loaded.export_public_key().decode().strip()
    kinds = {"rsa": "ssh-rsa", "ecdsa": _CURVES.get(curve, ""), "ed25519": "ssh-ed25519"}
    kind = kinds.get(algorithm, "")
    if not kind:
        raise wrong(f"SSH key algorithm '{algorithm}' (curve '{curve}') is not supported", "use rsa, ecdsa or ed25519")
    rsa = kind == "ssh-rsa"
    made = asyncssh.generate_private_key(kind, key_size=bits) if rsa else asyncssh.generate_private_key(kind)
    return made.export_private_key("openssh").decode(), made.export_public_key().decode().strip()


async def _host_key(host: str, port: int) -> str:
    import asyncssh

    try:
        found = await asyncssh.get_server_host_key(host, port)
    except (OSError, asyncssh.Error) as error:
        raise wrong(f"the key of {host}:{port} cannot be fetched: {error}", "check the URL") from None
    if found is None:
        raise wrong(f"{host}:{port} shows no key", "check the URL")
    kind, key = found.export_public_key().decode().split()[:2]
    return f"{host if port == 22 else f'[{host}]:{port}'} {kind} {key}\n"


def oci(url: str, username: str, password: str) -> dict[str, str]:
    """A docker configuration. Raises `Problem`."""
    if not url or not username or not password:
        raise wrong("--url, --username and --password are required", "give all three")
    host = url.removeprefix("oci://").partition("/")[0]
    pair = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {
        ".dockerconfigjson": json.dumps({"auths": {host: {"username": username, "password": password, "auth": pair}}})
    }


def proxy(address: str, username: str, password: str) -> dict[str, str]:
    """The address and credentials of a proxy. Raises `Problem`."""
    if not address:
        raise wrong("address is required", "give --address")
    return {"address": address, "username": username, "password": password}


def tls(authority: str, certificate: str, key: str) -> dict[str, str]:
    """TLS material. Raises `Problem`."""
    if bool(certificate) != bool(key):
        raise wrong("only one of --tls-crt-file and --tls-key-file is given", "give both")
    if not (authority or certificate):
        raise wrong("no certificate is given", "give --ca-crt-file, or --tls-crt-file and --tls-key-file")
    return {"ca.crt": authority, "tls.crt": certificate, "tls.key": key}


def notation(policy: Path | None, certificates: list[Path]) -> dict[str, str]:
    """A trust policy of the Notary Project, and the certificates of its authorities. Raises `Problem`."""
    if policy is None:
        raise wrong("--trust-policy-file is required", "name the trustpolicy.json")
    if not certificates:
        raise wrong("--ca-cert-file is required", "name the certificates, as .crt or .pem")
    text = read(policy, "--trust-policy-file")
    try:
        if not isinstance(json.loads(text)["trustPolicies"], list):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise wrong(f"{policy} is no trust policy", "it is JSON with a list 'trustPolicies'") from None
    data = {"trustpolicy.json": text}
    for path in certificates:
        if path.suffix not in {".crt", ".pem"}:
            raise wrong(f"{path.name} must end with .crt or .pem", "rename the certificate")
        data[path.name] = read(path, "--ca-cert-file")
    return data


def github_app(app: str, installation: str, owner: str, key: str, base: str) -> dict[str, str]:
    """A GitHub App. Raises `Problem`."""
    if not app or not key:
        raise wrong("--app-id and --app-private-key are required", "give both")
    if bool(installation) == bool(owner):
        raise wrong("exactly one of --app-installation-id and --app-installation-owner is required", "give one")
    return {
        "githubAppID": app,
        "githubAppInstallationID": installation,
        "githubAppInstallationOwner": owner,
        "githubAppPrivateKey": key,
        "githubAppBaseURL": base,
    }


def receiver(name: str, namespace: str, kind: str, token: str, host: str, email: str, audience: str) -> Obj:
    """The token of a Receiver, made up unless given, with the address of the webhook as an annotation."""
    if not host:
        raise wrong("hostname is required", "give --hostname, the app's own")
    token = token or secrets.token_hex(32)
    url = f"https://{host}{path_of(token, name, namespace)}"
    data = {"token": token}
    if kind == "gcr":
        if not email:
            raise wrong("--email-claim is required for gcr", "give the address of the service account")
        data |= {"email": email, "audience": audience or url}
    return secret(name, namespace, data, **{URL_NOTE: url})


async def apply(cluster: Cluster, obj: Obj, what: str, out: Console) -> None:
    """Create or update it. Raises `Problem`."""
    await cluster.apply(obj, manager=MANAGER, force=True)
    metadata = obj["metadata"]
    out.print(f"► {what} secret '{metadata['name']}' created in '{metadata['namespace']}' namespace")
