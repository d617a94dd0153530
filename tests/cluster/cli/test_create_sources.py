"""`create source`, `create secret`, `create receiver`, `trigger receiver`: Flux's flags, objects and refusals."""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import yaml
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.command import fluxless
from tests.support.flux import Flux
from tests.support.registry import Images
from tests.support.repositories import Repo, config_map

NOWHERE = Path("/nonexistent/kubeconfig")


def _exported(*arguments: str | Path) -> dict[str, Any]:
    """What --export prints; no cluster is asked."""
    done = fluxless(NOWHERE, "create", *arguments, "--export", "-n", "apps")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    assert found["metadata"]["namespace"] == "apps"
    return found


def _refused(*arguments: str | Path) -> str:
    done = fluxless(NOWHERE, "create", *arguments, "--export")
    assert done.returncode == 1, done.stdout
    assert not done.stdout
    return " ".join(done.stderr.split())


async def _with_engine(flux: Flux, *arguments: str | Path) -> str:
    """The command, while the engine runs; its output."""
    making = asyncio.create_task(asyncio.to_thread(fluxless, *arguments))  # type: ignore[arg-type]
    while not making.done():
        await flux.run()
        await asyncio.sleep(0.2)
    done = await making
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("typed", "kind", "spec"),
    [
        pytest.param(
            "source git app --url=https://git.example/app.git --tag-semver=1.x --secret-ref=auth "
            "--proxy-secret-ref=proxy --recurse-submodules --sparse-checkout-paths=a,b --ignore-paths=/docs "
            "--provider=generic --interval=5m --label=team=web",
            "GitRepository",
            {
                "url": "https://git.example/app.git",
                "interval": "5m",
                "ref": {"semver": "1.x"},
                "secretRef": {"name": "auth"},
                "proxySecretRef": {"name": "proxy"},
                "recurseSubmodules": True,
                "sparseCheckout": ["a", "b"],
                "ignore": "/docs\n",
                "provider": "generic",
            },
            id="git",
        ),
        pytest.param(
            "source oci app --url=oci://registry.example/app --digest=sha256:" + "0" * 64 + " --provider=azure "
            "--layer-selector=application/vnd.example+tar:copy --verify-provider=cosign --verify-secret-ref=keys "
            "--insecure --service-account=puller --cert-ref=ca",
            "OCIRepository",
            {
                "url": "oci://registry.example/app",
                "interval": "1m0s",
                "ref": {"digest": "sha256:" + "0" * 64},
                "provider": "azure",
                "layerSelector": {"mediaType": "application/vnd.example+tar", "operation": "copy"},
                "verify": {"provider": "cosign", "secretRef": {"name": "keys"}},
                "insecure": True,
                "serviceAccountName": "puller",
                "certSecretRef": {"name": "ca"},
            },
            id="oci",
        ),
        pytest.param(
            "source bucket app --bucket-name=b --endpoint=https://a.blob.example --provider=azure --region=eu",
            "Bucket",
            {
                "bucketName": "b",
                "endpoint": "https://a.blob.example",
                "interval": "1m0s",
                "provider": "azure",
                "region": "eu",
            },
            id="bucket",
        ),
        pytest.param(
            "source helm app --url=oci://registry.example/charts --pass-credentials --secret-ref=auth",
            "HelmRepository",
            {
                "url": "oci://registry.example/charts",
                "interval": "1m0s",
                "type": "oci",
                "passCredentials": True,
                "secretRef": {"name": "auth"},
            },
            id="helm",
        ),
        pytest.param(
            "source chart app --source=helmrepository/charts --chart=app --chart-version=>=1.0 "
            "--reconcile-strategy=Revision",
            "HelmChart",
            {
                "chart": "app",
                "version": ">=1.0",
                "interval": "1m0s",
                "sourceRef": {"kind": "HelmRepository", "name": "charts"},
                "reconcileStrategy": "Revision",
            },
            id="chart",
        ),
        pytest.param(
            "helmrelease app --source=helmrepository/charts.infra --chart=app --chart-version=>=1.0 --interval=10m "
            "--target-namespace=web --create-target-namespace --release-name=app --depends-on=a,b/c "
            "--crds=CreateReplace --values-from=secret/s,ConfigMap/m.key --service-account=sa "
            "--kubeconfig-secret-ref=k",
            "HelmRelease",
            {
                "chart": {
                    "spec": {
                        "chart": "app",
                        "version": ">=1.0",
                        "sourceRef": {"kind": "HelmRepository", "name": "charts", "namespace": "infra"},
                    }
                },
                "dependsOn": [{"name": "a"}, {"name": "c", "namespace": "b"}],
                "install": {"createNamespace": True, "crds": "CreateReplace"},
                "interval": "10m",
                "kubeConfig": {"secretRef": {"name": "k"}},
                "releaseName": "app",
                "serviceAccountName": "sa",
                "targetNamespace": "web",
                "upgrade": {"crds": "CreateReplace"},
                "valuesFrom": [
                    {"kind": "Secret", "name": "s"},
                    {"kind": "ConfigMap", "name": "m", "valuesKey": "key"},
                ],
            },
            id="helmrelease",
        ),
        pytest.param(
            "receiver app --type=github --secret-ref=token --event=ping,push --resource=gitrepository/app.web",
            "Receiver",
            {
                "type": "github",
                "events": ["ping", "push"],
                "secretRef": {"name": "token"},
                "resources": [{"kind": "GitRepository", "name": "app", "namespace": "web"}],
            },
            id="receiver",
        ),
    ],
)
def test_export_prints_what_the_flags_mean(typed: str, kind: str, spec: dict[str, Any]) -> None:
    found = _exported(*typed.split())
    assert (found["kind"], found["spec"]) == (kind, spec)
    assert found["metadata"].get("labels") == ({"team": "web"} if "--label" in typed else None)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("source git app --url=https://git.example/a", "a Git ref is required"),
        ("source git app --url=ftp://git.example/a --branch=main", "scheme 'ftp' not supported"),
        ("source git App --url=https://git.example/a --branch=main", "name 'App' is invalid"),
        ("source oci app --url=oci://registry.example/a", "--tag, --tag-semver or --digest is required"),
        ("source oci app --url=oci://registry.example/a --tag=1 --layer-selector=x", "--layer-selector 'x'"),
        ("source oci app --url=oci://registry.example/a --tag=1 --verify-issuer=x", "--verify-provider must be set"),
        ("source bucket app --endpoint=e", "give --bucket-name"),
        ("source helm app --url=git://x", "give an http, https or oci URL"),
        ("source chart app --source=Secret/x --chart=a", "source kind 'Secret' is not supported"),
        ("helmrelease app", "chart or chart-ref is required"),
        ("helmrelease app --chart=a --source=Secret/x", "--source 'Secret/x' is not supported"),
        ("helmrelease app --chart-ref=Pod/x", "--chart-ref 'Pod/x' is not supported"),
        ("helmrelease app --chart-ref=HelmChart/x --values=/nonexistent", "--values: [Errno 2]"),
        ("receiver app --type=nobody", "type 'nobody' is unknown"),
        ("receiver app --type=github --secret-ref=t", "at least one resource is required"),
        ("receiver app --type=github --secret-ref=t --resource=Pod/x", "resource 'Pod/x' is not understood"),
        ("secret git app --url=https://git.example/a --username=u", "the username and password"),
        ("secret oci app --url=registry.example", "--url, --username and --password are required"),
        ("secret tls app --tls-crt-file=/nonexistent", "--tls-crt-file: [Errno 2]"),
        ("secret githubapp app --app-id=1", "--app-id and --app-private-key are required"),
        ("secret receiver app", "hostname is required"),
        ("secret proxy app", "address is required"),
        ("secret notation app", "--trust-policy-file is required"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named(typed: str, words: str) -> None:
    assert words in _refused(*typed.split())


async def test_a_repository_and_its_receiver_are_made_and_awaited(flux: Flux, repo: Repo, control_plane: Path) -> None:
    repo.push({"a.yaml": config_map("a")})
    space = ("-n", flux.namespace)
    made = await _with_engine(
        flux, control_plane, "create", "source", "git", "repo", "--url", repo.url, "--branch", "main", *space
    )
    assert "✚ generating GitRepository source" in made
    assert f"fetched revision main@sha1:{repo.head[:8]}" in made
    assert (await flux.repository())["status"]["artifact"]["revision"] == f"main@sha1:{repo.head}"
    again = await _with_engine(
        flux, control_plane, "create", "source", "git", "repo", "--url", repo.url, "--branch", "main", *space
    )
    assert "GitRepository source updated" in again
    kept = fluxless(
        control_plane, "create", "secret", "receiver", "token", "--token", "t0ken", "--hostname", "app.example", *space
    )
    assert kept.returncode == 0, kept.stderr
    assert "t0ken" not in kept.stdout
    typed = ("create", "receiver", "hook", "--type", "generic", "--secret-ref", "token")
    hook = await _with_engine(flux, control_plane, *typed, "--resource", "GitRepository/repo", *space)
    path = hashlib.sha256(f"t0kenhook{flux.namespace}".encode()).hexdigest()
    assert f"generated webhook URL /hook/{path}" in hook


async def test_artifacts_of_a_registry_are_made_and_awaited(
    flux: Flux, images: Images, control_plane: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(config_map("a"))
    pushed = fluxless(
        control_plane,
        "push",
        "artifact",
        f"{images.url}:1.0.0",
        "-f",
        tmp_path,
        "--source",
        "x",
        "--revision",
        "main@x",
    )
    assert pushed.returncode == 0, pushed.stderr
    typed = ("create", "source", "oci", "app", "--url", images.url, "--tag", "1.0.0", "--insecure")
    made = await _with_engine(flux, control_plane, *typed, "-n", flux.namespace)
    assert "fetched revision 1.0.0@sha256:" in made


async def test_a_secret_for_ssh_holds_a_new_key_and_the_key_of_the_server() -> None:
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[host_key])
    port = server.get_port()
    url = f"ssh://git@127.0.0.1:{port}/app.git"
    async with server:
        for flags, kind in (
            ((), "ecdsa-sha2-nistp384"),
            (("--ssh-key-algorithm=ed25519",), "ssh-ed25519"),
            (("--ssh-key-algorithm=rsa", "--ssh-rsa-bits=3072"), "ssh-rsa"),
        ):
            found = await asyncio.to_thread(_exported, "secret", "git", "app", f"--url={url}", *flags)
            data = found["stringData"]
            assert data["identity.pub"].split()[0] == kind
            private = asyncssh.import_private_key(data["identity"])
            assert private.export_public_key().decode().split()[:2] == data["identity.pub"].split()[:2]
            server_key = " ".join(host_key.export_public_key().decode().split()[:2])
            assert data["known_hosts"] == f"[127.0.0.1]:{port} {server_key}\n"
    refused = await asyncio.to_thread(_refused, "secret", "git", "app", f"--url={url}")
    assert f"the key of 127.0.0.1:{port} cannot be fetched" in refused


def test_secrets_have_the_keys_that_sources_read(tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    pem = rsa.generate_private_key(65537, 2048).private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    file.write_bytes(pem)
    user = ("--username=u", "--password=p")
    git = _exported("secret", "git", "app", "--url=https://git.example/a", *user, f"--ca-crt-file={file}")
    assert git["stringData"] == {"username": "u", "password": "p", "ca.crt": pem.decode()}
    bearer = _exported("secret", "git", "app", "--url=https://git.example/a", "--bearer-token=b")
    assert bearer["stringData"] == {"bearerToken": "b"}
    oci = _exported("secret", "oci", "app", "--url=registry.example/a", *user)
    assert oci["type"] == "kubernetes.io/dockerconfigjson"
    (pair,) = json.loads(oci["stringData"][".dockerconfigjson"])["auths"].items()
    assert (pair[0], base64.b64decode(pair[1]["auth"])) == ("registry.example", b"u:p")
    assert _exported("secret", "helm", "app", *user)["stringData"] == {"username": "u", "password": "p"}
    tls = _exported("secret", "tls", "app", f"--tls-crt-file={file}", f"--tls-key-file={file}")
    assert set(tls["stringData"]) == {"tls.crt", "tls.key"}
    proxy = _exported("secret", "proxy", "app", "--address=http://proxy.example:3128")
    assert proxy["stringData"] == {"address": "http://proxy.example:3128"}
    app = _exported("secret", "githubapp", "app", "--app-id=1", "--app-installation-id=2", f"--app-private-key={file}")
    assert app["stringData"] == {
        "githubAppID": "1",
        "githubAppInstallationID": "2",
        "githubAppPrivateKey": pem.decode(),
    }
    policy = tmp_path / "policy.json"
    policy.write_text('{"version": "1.0", "trustPolicies": []}')
    trust = _exported("secret", "notation", "app", f"--trust-policy-file={policy}", f"--ca-cert-file={file}")
    assert trust["stringData"] == {"trustpolicy.json": policy.read_text(), "file.pem": pem.decode()}
    token = _exported("secret", "receiver", "app", "--hostname=app.example")
    made = token["stringData"]["token"]
    path = hashlib.sha256(f"{made}appapps".encode()).hexdigest()
    assert list(token["metadata"]["annotations"].values()) == [f"https://app.example/hook/{path}"]


async def test_a_receiver_is_triggered_again_until_it_answers() -> None:
    got: list[web.Request] = []
    bodies: list[bytes] = []
    answers = [503, 200, 200, 400]

    async def answer(request: web.Request) -> web.Response:
        got.append(request)
        bodies.append(await request.read())
        return web.Response(status=answers[len(got) - 1])

    app = web.Application()
    app.router.add_post("/hook/{path}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    url = f"--url=http://127.0.0.1:{port}"
    shared = ("trigger", "receiver", "hook", "-n", "apps", url, "--retry-delay=100ms", "--token=t0ken")
    try:
        done = await asyncio.to_thread(fluxless, NOWHERE, *shared, "--type=generic-hmac", '--payload={"a":1}')
        assert done.returncode == 0, done.stderr
        assert "the answer is 503" in done.stdout
        assert len(got) == 2
        path = hashlib.sha256(b"t0kenhookapps").hexdigest()
        assert got[1].match_info["path"] == path
        signed = hmac.new(b"t0ken", b'{"a":1}', hashlib.sha256).hexdigest()
        assert (bodies[1], got[1].headers["X-Signature"]) == (b'{"a":1}', f"sha256={signed}")
        assert (await asyncio.to_thread(fluxless, NOWHERE, *shared)).returncode == 0
        refused = await asyncio.to_thread(fluxless, NOWHERE, *shared)
        assert (refused.returncode, len(got)) == (1, 4)
        assert "the answer is 400" in refused.stderr
        assert "t0ken" not in refused.stderr
    finally:
        await runner.cleanup()
