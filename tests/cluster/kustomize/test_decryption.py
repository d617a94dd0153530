"""SOPS with age by the real binaries (KC-21, KC-77, KC-98, KC-99): plain text in the cluster, and nowhere else."""

import base64
from pathlib import Path

import pytest

from tests.support.age import Age, generate
from tests.support.flux import Flux, message, ready
from tests.support.repositories import Repo

PLAIN = "correct-horse-battery"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: {PLAIN}\n"


@pytest.fixture(scope="module")
def age() -> Age:
    return generate()


async def _keys(flux: Flux, identity: str) -> None:
    data = {"team.agekey": base64.b64encode(identity.encode()).decode()}
    names = {"name": "keys", "namespace": flux.namespace}
    await flux.cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": data}, manager="user")


async def _app(flux: Flux, repo: Repo, files: dict[str, str | None]) -> None:
    repo.push(files)
    await flux.source(repo)
    await flux.kustomization("app", decryption={"provider": "sops", "secretRef": {"name": "keys"}})
    await flux.run(patience=1)


async def _value(flux: Flux, name: str, key: str) -> str:
    found = await flux.get("v1", "Secret", name)
    assert found is not None, message(await flux.ks("app"))
    return base64.b64decode(found["data"][key]).decode()


ONLY_DATA = ("--encrypted-regex", "^(data|stringData)$")


async def test_an_encrypted_secret_is_applied_in_plain_and_kept_nowhere_else(
    flux: Flux, repo: Repo, age: Age, tmp_path: Path
) -> None:
    await _keys(flux, age.identity)
    await _app(flux, repo, {"s.yaml": age.encrypt(SECRET, "yaml", *ONLY_DATA)})
    assert ready(await flux.ks("app"))[0] == "True", message(await flux.ks("app"))
    assert await _value(flux, "s", "password") == PLAIN
    async for blob in flux.store.list(""):
        found = await flux.store.get(blob.name)
        assert found is not None
        assert PLAIN.encode() not in found[0]
        assert base64.b64encode(PLAIN.encode()) not in found[0]
    assert PLAIN not in str(await flux.events("app"))
    assert PLAIN not in str(await flux.ks("app"))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and PLAIN in path.read_text()]


@pytest.mark.parametrize(
    ("file", "form", "text"),
    [
        ("values.yaml", "yaml", f"password: {PLAIN}\n"),
        ("values.json", "json", f'{{"password": "{PLAIN}"}}'),
        ("values.env", "dotenv", f"password={PLAIN}\n"),
        ("values.ini", "ini", f"[main]\npassword = {PLAIN}\n"),
        ("values.bin", "binary", f"password {PLAIN}"),
    ],
)
async def test_inputs_of_generators_are_decrypted_before_the_build(
    flux: Flux, repo: Repo, age: Age, file: str, form: str, text: str
) -> None:
    await _keys(flux, age.identity)
    generator = (
        f"secretGenerator:\n- name: s\n  files: [config={file}]\ngeneratorOptions: {{disableNameSuffixHash: true}}\n"
    )
    files = {
        "kustomization.yaml": "resources: [base]\n",
        "base/kustomization.yaml": generator,
        f"base/{file}": age.encrypt(text, form),
    }
    await _app(flux, repo, dict(files))
    assert PLAIN in await _value(flux, "s", "config")
    assert "sops" not in await _value(flux, "s", "config")


async def test_documents_inside_of_secret_data_are_decrypted_by_their_extension(
    flux: Flux, repo: Repo, age: Age
) -> None:
    await _keys(flux, age.identity)
    inner = base64.b64encode(age.encrypt(f"password: {PLAIN}\n").encode()).decode()
    text = f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\ndata:\n  config.yaml: {inner}\n"
    await _app(flux, repo, {"s.yaml": text})
    assert await _value(flux, "s", "config.yaml") == f"password: {PLAIN}\n"


async def test_an_encrypted_patch_is_decrypted_before_the_build(flux: Flux, repo: Repo, age: Age) -> None:
    await _keys(flux, age.identity)
    files = {
        "kustomization.yaml": "resources: [s.yaml]\npatches: [{path: p.yaml}]\n",
        "s.yaml": SECRET.replace(PLAIN, "placeholder"),
        "p.yaml": age.encrypt(SECRET, "yaml", *ONLY_DATA),
    }
    await _app(flux, repo, dict(files))
    assert await _value(flux, "s", "password") == PLAIN, message(await flux.ks("app"))


async def test_without_the_right_key_nothing_is_applied_and_the_object_is_named(
    flux: Flux, repo: Repo, age: Age
) -> None:
    await _keys(flux, generate().identity)
    await _app(flux, repo, {"s.yaml": age.encrypt(SECRET, "yaml", *ONLY_DATA)})
    app = await flux.ks("app")
    assert ready(app) == ("False", "BuildFailed")
    assert f"Secret/{flux.namespace}/s cannot be decrypted" in message(app)
    assert "AGE-SECRET-KEY" not in str(app)
    assert await flux.get("v1", "Secret", "s") is None


async def test_other_keys_do_not_get_what_these_keys_have_opened(flux: Flux, repo: Repo, age: Age) -> None:
    await _keys(flux, age.identity)
    generator = "secretGenerator: [{name: s, files: [v.env]}]\ngeneratorOptions: {disableNameSuffixHash: true}\n"
    await _app(flux, repo, {"kustomization.yaml": generator, "v.env": age.encrypt(f"a={PLAIN}\n", "dotenv")})
    assert PLAIN in await _value(flux, "s", "v.env")
    await _keys(flux, generate().identity)
    await flux.kustomization(
        "app", decryption={"provider": "sops", "secretRef": {"name": "keys"}}, commonMetadata={"labels": {"a": "b"}}
    )
    await flux.request("Kustomization", "app")
    await flux.run(patience=1)
    assert ready(await flux.ks("app")) == ("False", "BuildFailed")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "not found"),
        ({"other": "eA=="}, "no usable key"),
        ({"a.asc": "eA=="}, "no armored PGP private key"),
        ({"sops.azure-kv": base64.b64encode(b"tenantId: t").decode()}, "incomplete key sops.azure-kv"),
    ],
)
async def test_keys_that_cannot_be_had_are_named(
    flux: Flux, repo: Repo, age: Age, data: dict[str, str] | None, words: str
) -> None:
    if data is not None:
        names = {"name": "keys", "namespace": flux.namespace}
        await flux.cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": names, "data": data})
    await _app(flux, repo, {"s.yaml": age.encrypt(SECRET, "yaml", *ONLY_DATA)})
    assert ready(await flux.ks("app")) == ("False", "BuildFailed")
    assert words in message(await flux.ks("app"))
