"""Images and charts that somebody has to have signed (OR-5, OR-6, OR-23, CH-5)."""

import base64
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fluxless.oci import cosign
from tests.support.charts import push_chart
from tests.support.flux import Flux, message, ready
from tests.support.registry import Images
from tests.support.signatures import (
    Notary,
    envelope,
    keyless,
    payload,
    pem,
    put_bundle,
    put_tag,
    statement,
    tagged,
    trust_policy,
)
from tests.support.sigstore import Sigstore

OCI = "OCIRepository"
ISSUER, SUBJECT = "https://issuer.example.org", "https://ci.example.org/team/app"


async def test_signatures_with_a_key(flux: Flux, images: Images, tmp_path: Path) -> None:
    """Of three kinds of keys, as a tag and as a bundle; unsigned and wrong ones are refused (OR-5, OR-23)."""
    curve, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys: dict[str, Any] = {"curve": curve, "edwards": edwards, "numbers": numbers}
    for name, key in keys.items():
        digest = await images.push(tmp_path, {"a": name}, name)
        await tagged(images, digest, key)
        await flux.secret(name, {"cosign.pub": pem(key), "other.pub": pem(ec.generate_private_key(ec.SECP256R1()))})
        await flux.oci(images, name, ref={"tag": name}, verify={"provider": "cosign", "secretRef": {"name": name}})
    bundled = await images.push(tmp_path, {"a": "bundle"}, "bundle")
    await put_bundle(images, bundled, envelope(curve, statement(bundled)))
    await flux.oci(
        images, "bundle", ref={"tag": "bundle"}, verify={"provider": "cosign", "secretRef": {"name": "curve"}}
    )
    await images.push(tmp_path, {"a": "unsigned"}, "unsigned")
    wrong = await images.push(tmp_path, {"a": "wrong"}, "wrong")
    await tagged(images, wrong, edwards)
    moved = await images.push(tmp_path, {"a": "moved"}, "moved")
    await tagged(images, moved, curve, about=wrong)
    await flux.secret("none", {"cosign.key": "x"})
    await flux.secret("broken", {"cosign.pub": "x"})
    for name in ("unsigned", "wrong", "moved"):
        await flux.oci(images, name, ref={"tag": name}, verify={"provider": "cosign", "secretRef": {"name": "curve"}})
    for name in ("none", "broken"):
        await flux.oci(images, name, ref={"tag": "curve"}, verify={"provider": "cosign", "secretRef": {"name": name}})
    await flux.run(patience=0.3)
    for name in (*keys, "bundle"):
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert message(found, "SourceVerified").startswith(f"verified signature of revision {name}@")
    for name in ("unsigned", "wrong", "moved", "none", "broken"):
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("False", "VerificationError"), name
        assert "failed to verify the signature using provider 'cosign'" in message(found, "SourceVerified")
        assert not found["status"].get("artifact"), name
    await tagged(images, wrong, curve)  # signed at last
    await flux.request(OCI, "wrong")
    await flux.run()
    assert ready(await flux.source_of(OCI, "wrong")) == ("True", "Succeeded")
    spec = {"spec": {"verify": None}}
    await flux.patch("source.toolkit.fluxcd.io/v1", OCI, "curve", spec)
    await flux.run()
    assert message(await flux.source_of(OCI, "curve"), "SourceVerified") == "None"


async def _verified(flux: Flux, images: Images, cases: dict[str, dict[str, Any]], tag: str) -> None:
    for name, verify in cases.items():
        await flux.oci(images, name, ref={"tag": tag}, verify=verify)
    await flux.run(patience=0.3)


async def _taken(flux: Flux, *names: str) -> None:
    for name in names:
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert message(found, "SourceVerified").startswith("verified signature of revision"), name


async def _refused(flux: Flux, provider: str, names: dict[str, str]) -> None:
    for name, words in names.items():
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("False", "VerificationError"), name
        assert f"failed to verify the signature using provider '{provider}'" in message(found, "SourceVerified")
        assert words in message(found), message(found)
        assert not found["status"].get("artifact"), name


async def test_signatures_without_a_key(flux: Flux, images: Images, tmp_path: Path) -> None:
    """Tag and bundle; identities are regular expressions of which one has to match."""
    sigstore = Sigstore()
    signer = sigstore.certify(SUBJECT, ISSUER)
    await keyless(images, await images.push(tmp_path, {"a": "tag"}, "tag"), sigstore, signer)
    digest = await images.push(tmp_path, {"a": "bundle"}, "bundle")
    await put_bundle(images, digest, sigstore.bundle(signer, cosign.IN_TOTO, statement(digest)))
    await flux.secret("root", {"trusted_root.json": sigstore.trusted_root()})
    await flux.secret("other", {"trusted_root.json": Sigstore().trusted_root()})
    await flux.secret("broken", {"trusted_root.json": "{}"})
    await flux.secret("empty", {"root.json": "{}"})

    def verify(root: str, *identities: tuple[str, str]) -> dict[str, Any]:
        wanted = [{"issuer": issuer, "subject": subject} for issuer, subject in identities]
        found: dict[str, Any] = {"provider": "cosign", "trustedRootSecretRef": {"name": root}}
        return found | ({"matchOIDCIdentity": wanted} if wanted else {})

    mine = (f"^{ISSUER}$", "^https://ci.example.org/team/.*$")
    for tag in ("tag", "bundle"):
        cases = {
            "one": verify("root", mine),
            "second": verify("root", ("^https://elsewhere$", ".*"), mine),
            "anybody": verify("root"),
            "subject": verify("root", (f"^{ISSUER}$", "^https://ci.example.org/others/")),
            "issuer": verify("root", ("^https://elsewhere$", "team")),
            "root": verify("other", mine),
            "malformed": verify("broken", mine),
            "missing": verify("empty", mine),
            "nowhere": verify("nowhere", mine),
            "expression": verify("root", ("(", ".*")),
        }
        await _verified(flux, images, {f"{tag}-{name}": case for name, case in cases.items()}, tag)
        await _taken(flux, *(f"{tag}-{name}" for name in ("one", "second", "anybody")))
        who = f"it is signed by '{SUBJECT}' of issuer '{ISSUER}'"
        words = {
            "subject": who,
            "issuer": who,
            "root": "no matching signatures were found",
            "malformed": "is no trusted root of Sigstore",
            "missing": "has no key 'trusted_root.json'",
            "expression": "error parsing regexp",
        }
        await _refused(flux, "cosign keyless", {f"{tag}-{name}": text for name, text in words.items()})
        nowhere = await flux.source_of(OCI, f"{tag}-nowhere")
        assert f"secret '{flux.namespace}/nowhere' not found" in message(nowhere)


async def test_signatures_without_a_key_that_do_not_hold(flux: Flux, images: Images, tmp_path: Path) -> None:
    """Moved from another image, entered in another log, expired by the log's clock, or made with a key."""
    sigstore, stranger = Sigstore(), Sigstore()
    signer = sigstore.certify(SUBJECT, ISSUER)
    await flux.secret("root", {"trusted_root.json": sigstore.trusted_root()})
    verify = {"provider": "cosign", "trustedRootSecretRef": {"name": "root"}}
    other = await images.push(tmp_path, {"a": "other"}, "other")

    moved = await images.push(tmp_path, {"a": "moved"}, "moved")
    await put_tag(images, moved, payload(other), sigstore.annotations(signer, payload(other)))
    lifted = await images.push(tmp_path, {"a": "lifted"}, "lifted")
    await put_bundle(images, lifted, sigstore.bundle(signer, cosign.IN_TOTO, statement(other)))
    logged = await images.push(tmp_path, {"a": "logged"}, "logged")
    await put_tag(images, logged, payload(logged), stranger.annotations(signer, payload(logged)))
    late = await images.push(tmp_path, {"a": "late"}, "late")
    notes = sigstore.annotations(signer, payload(late))
    entry = json.loads(notes["dev.sigstore.cosign/bundle"])
    entry["Payload"]["integratedTime"] += 60
    await put_tag(images, late, payload(late), notes | {"dev.sigstore.cosign/bundle": json.dumps(entry)})
    swapped = await images.push(tmp_path, {"a": "swapped"}, "swapped")
    bundle = json.loads(sigstore.bundle(signer, cosign.IN_TOTO, statement(other)))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(statement(swapped)).decode()
    await put_bundle(images, swapped, json.dumps(bundle))
    keyed = await images.push(tmp_path, {"a": "keyed"}, "keyed")
    await tagged(images, keyed, ec.generate_private_key(ec.SECP256R1()))
    garbled = await images.push(tmp_path, {"a": "garbled"}, "garbled")
    await put_bundle(images, garbled, "{}")

    cases = {
        "moved": "it is the signature of another image",
        "lifted": "it is the signature of another image",
        "logged": "no matching signatures were found",
        "late": "invalid log entry",
        "swapped": "no matching signatures were found",
        "keyed": "it is made with a key, not with a certificate",
        "garbled": "failed to load bundle",
    }
    for tag in cases:
        await flux.oci(images, tag, ref={"tag": tag}, verify=verify)
    await flux.run(patience=0.3)
    await _refused(flux, "cosign keyless", cases)


async def test_the_public_sigstore_is_trusted_without_a_root_of_ones_own(
    flux: Flux, images: Images, tmp_path: Path
) -> None:
    """There is no network in tests: the root is that of the library, which knows nobody of ours."""
    sigstore = Sigstore()
    digest = await images.push(tmp_path, {"a": "1"}, "one")
    await keyless(images, digest, sigstore, sigstore.certify(SUBJECT, ISSUER))
    await flux.oci(images, "public", ref={"tag": "one"}, verify={"provider": "cosign"})
    await flux.run(patience=0.3)
    await _refused(flux, "cosign keyless", {"public": "failed to build timestamp certificate chain"})


async def test_signatures_of_notation(flux: Flux, images: Images, tmp_path: Path) -> None:
    """By the real binary, in both envelopes; every level of a trust policy."""
    notary, stranger = Notary(tmp_path, "notary"), Notary(tmp_path, "stranger")
    for form in ("jws", "cose"):
        notary.sign(images, await images.push(tmp_path, {"a": form}, form), form)
    await images.push(tmp_path, {"a": "unsigned"}, "unsigned")
    scope = str(images.repository)
    secrets = {
        "good": {"trustpolicy.json": trust_policy(scopes=(scope,)), "ca.crt": notary.certificate},
        "several": {"trustpolicy.json": trust_policy(), "a.pem": stranger.certificate, "b.crt": notary.certificate},
        "stranger": {"trustpolicy.json": trust_policy(), "ca.crt": stranger.certificate},
        "elsewhere": {"trustpolicy.json": trust_policy(scopes=("example.org/x",)), "ca.crt": notary.certificate},
        "audit": {"trustpolicy.json": trust_policy("audit"), "ca.crt": stranger.certificate},
        "skip": {"trustpolicy.json": trust_policy("skip"), "ca.crt": stranger.certificate},
        "bare": {"trustpolicy.json": trust_policy()},
        "empty": {"ca.crt": notary.certificate},
        "broken": {"trustpolicy.json": "[", "ca.crt": notary.certificate},
        "path": {"trustpolicy.json": trust_policy().replace("ca:trusted", "ca:../x"), "ca.crt": notary.certificate},
    }
    for name, data in secrets.items():
        await flux.secret(name, data)

    def verify(name: str) -> dict[str, Any]:
        return {"provider": "notation", "secretRef": {"name": name}}

    await _verified(flux, images, {name: verify(name) for name in secrets}, "jws")
    await _verified(flux, images, {"cose": verify("good")}, "cose")
    await _verified(flux, images, {"unsigned": verify("good"), "named": {"provider": "notation"}}, "unsigned")
    await _taken(flux, "good", "several", "cose")
    for name in ("audit", "skip"):
        found = await flux.source_of(OCI, name)
        assert ready(found) == ("True", "Succeeded"), message(found)
        assert message(found, "SourceVerified") == "None"
    words = {
        "stranger": "signature verification failed",
        "elsewhere": "no applicable",
        "bare": "no certificates found in secret",
        "empty": "'trustpolicy.json' not found in secret",
        "broken": "is no trust policy of the Notary Project",
        "path": "names a trust store 'ca:../x'",
        "unsigned": "no signature is associated",
        "named": "spec.verify.secretRef is missing",
    }
    await _refused(flux, "notation", words)


async def test_a_chart_signed_by_notation(flux: Flux, images: Images, tmp_path: Path) -> None:
    """The unsigned one is refused (CH-5)."""
    notary = Notary(tmp_path, "notary")
    below = Images(images.repository.host, f"{images.repository.path}/web")
    notary.sign(below, await push_chart(images, tmp_path, "web", "1.0.0"))
    await push_chart(images, tmp_path, "plain", "1.0.0")
    await flux.secret("trust", {"trustpolicy.json": trust_policy(), "ca.crt": notary.certificate})
    source, api = {"kind": "HelmRepository", "name": "repo"}, "source.toolkit.fluxcd.io/v1"
    await flux.put(api, "HelmRepository", "repo", {"url": images.url, "type": "oci"})
    for chart in ("web", "plain"):
        verify = {"provider": "notation", "secretRef": {"name": "trust"}}
        spec = {"interval": "10m", "chart": chart, "sourceRef": source, "verify": verify}
        await flux.put(api, "HelmChart", chart, spec)
    await flux.run(patience=0.3)
    found = await flux.source_of("HelmChart", "web")
    assert ready(found)[0] == "True", message(found)
    assert message(found, "SourceVerified") == "verified signature of version 1.0.0"
    assert ready(await flux.source_of("HelmChart", "plain")) == ("False", "VerificationError")
