"""A build reads nothing outside its artifact, reaches nobody, keeps nothing, and goes over no limit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fluxless import limits
from fluxless.api.failure import Problem
from fluxless.fair_slots import tenant
from fluxless.go_yaml import load_all
from fluxless.kustomize import build as building
from fluxless.kustomize import jail
from fluxless.kustomize.beneath import Files, resolved
from fluxless.kustomize.build import build
from fluxless.kustomize.decryption import Decryption
from fluxless.kustomize.jail import check
from fluxless.process_pool import ProcessPools
from fluxless.render.keys import Keys
from tests.support.age import generate
from tests.support.repositories import config_map

CANARY = "canary-that-nobody-may-see"
UP = "../" * 16
"""More steps up than any folder is deep: kustomize stops at the root of the machine."""
OUTSIDE = {
    "canary.yaml": config_map("canary", CANARY),
    "canary.env": f"canary={CANARY}\n",
    "canary.txt": CANARY,
    "broken.yaml": f"{CANARY}: [\n",
    "patch.yaml": f"- {{op: add, path: /data/stolen, value: {CANARY}}}\n",
    "schema.json": f'{{"definitions": "{CANARY}"}}',
    "kustomization.yaml": "resources: [canary.yaml]\n",
    "component/kustomization.yaml": "kind: Component\nresources: [../canary.yaml]\n",
    "transformer.yaml": f"apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {{name: {CANARY}}}\n",
    "configuration.yaml": f"namePrefix: [{{path: {CANARY}}}]\nnamespace: {CANARY}\n",
    "merge.yaml": config_map("a", CANARY),
    "replacement.yaml": f"- source: {{kind: ConfigMap, name: a, fieldPath: data.{CANARY}}}\n"
    "  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.value]}]\n",
    "generator.yaml": f"apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {{name: g}}\n"
    f"name: g\nliterals: [stolen={CANARY}]\n",
}


@dataclass(frozen=True)
class Attack:
    """Files of a repository and links in it. `{out}` is the way to the folder of the canaries, by steps up."""

    files: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)


def _app(kustomization: str, **others: str) -> dict[str, str]:
    return {"app/kustomization.yaml": kustomization, "app/a.yaml": config_map("a"), **others}


def _base(kustomization: str, **others: str) -> dict[str, str]:
    """In a base, since the file that `spec.path` leads to is written anew, with known fields only."""
    files = {"app/base/kustomization.yaml": kustomization, "app/base/a.yaml": config_map("a")}
    return _app("resources: [base]\n") | files | others


INLINE = "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: x}\nname: x\nfiles: ['k={out}/canary.txt']\n"
DEEP = "/".join(["deep"] * 17)
"""Going up from here as often as `UP` does stays in the artifact, unless the steps are counted from a link to it."""
ATTACKS = {
    "key-in-another-case": Attack(_app("configMapGenerator: [{name: x, Files: ['k={out}/canary.txt']}]\n")),
    "list-in-another-case-in-a-base": Attack(_base("ConfigMapGenerator: [{name: x, files: ['k={out}/canary.txt']}]\n")),
    "generator-in-line": Attack(_app("generators:\n- |\n" + "".join(f"  {line}\n" for line in INLINE.splitlines()))),
    "generator-in-one-line": Attack(
        _app(
            "generators:\n- '{apiVersion: builtin, kind: ConfigMapGenerator, metadata: {name: x}, name: x, "
            'files: ["k={folder}/canary.txt"]}\'\n'
        )
    ),
    "transformer-in-line": Attack(
        _app(
            "resources: [a.yaml]\ntransformers:\n- |\n  apiVersion: builtin\n  kind: PatchTransformer\n"
            "  metadata: {name: t}\n  path: '{out}/patch.yaml'\n  target: {kind: ConfigMap}\n"
        )
    ),
    "binary-path": Attack(_base("resources: [!!binary {binary}]\n")),
    "equals-sign-in-a-folder": Attack(_app("configMapGenerator: [{name: x, envs: ['{out}/q=w/../canary.env']}]\n")),
    "steps-up-behind-a-link": Attack(
        {
            "kustomization.yaml": "configMapGenerator: [{name: x, files: ['k=link/{out}/canary.txt']}]\n",
            f"{DEEP}/a.yaml": config_map("a"),
        },
        {"link": DEEP},
    ),
    "environment-of-the-process": Attack(
        _app("configMapGenerator: [{name: x, Files: ['k={up}proc/self/environ', 'm={up}proc/self/maps']}]\n")
    ),
    "link-to-a-file": Attack(
        _app("configMapGenerator: [{name: x, Files: [k=link]}]\n"), {"app/link": "{folder}/canary.txt"}
    ),
    "relative-link": Attack(
        _app("configMapGenerator: [{name: x, Files: [k=link]}]\n"), {"app/link": "{out}/canary.txt"}
    ),
    "chain-of-links": Attack(
        _app("configMapGenerator: [{name: x, Files: [k=one]}]\n"),
        {"app/one": "two", "app/two": "../three/canary.txt", "three": "{folder}"},
    ),
    "links-in-a-circle": Attack(_app("resources: [one]\n"), {"app/one": "two", "app/two": "one"}),
    "link-to-a-folder": Attack(_base("Resources: [link]\n"), {"app/base/link": "{folder}"}),
    "kustomization-that-is-a-link": Attack(
        _base("Resources: [own]\n") | {"app/base/own/a.yaml": config_map("a")},
        {"app/base/own/kustomization.yaml": "{folder}/broken.yaml"},
    ),
    "manifest-that-is-a-link": Attack(
        {"app/a.yaml": "kind: [\n"}, {"app/0.yaml": "{folder}/broken.yaml", "app/1.yaml": "{folder}/canary.yaml"}
    ),
    "absolute-path": Attack(_app("configMapGenerator: [{name: x, Files: ['k={folder}/canary.txt']}]\n")),
    "absolute-patch": Attack(
        _base("resources: [a.yaml]\nPatches: [{path: '{folder}/patch.yaml', target: {kind: ConfigMap}}]\n")
    ),
    "name-that-is-a-path": Attack(_app("configMapGenerator: [{name: x, Files: ['{out}/canary.txt']}]\n")),
    "helm-chart": Attack(
        _app(
            "helmGlobals: {chartHome: '{out}'}\n"
            "helmCharts: [{name: x, releaseName: x, valuesFile: '{out}/canary.txt'}]\n"
        )
    ),
    "generator-that-is-a-program": Attack(
        _app("generators: [x.yaml]\n")
        | {
            "app/x.yaml": "apiVersion: v1\nkind: X\nmetadata:\n  name: x\n  annotations:\n"
            "    config.kubernetes.io/function: |\n      exec: {path: '/bin/cat'}\n"
        }
    ),
    "plugin": Attack(
        _app("generators: ['x.yaml']\n") | {"app/x.yaml": "apiVersion: a/v1\nkind: X\nmetadata: {name: x}\n"}
    ),
}
FIELDS = {
    "resources": "[{way}/canary.yaml]",
    "bases": "[{way}]",
    "components": "[{way}/component]",
    "crds": "[{way}/schema.json]",
    "configurations": "[{way}/configuration.yaml]",
    "generators": "[{way}/generator.yaml]",
    "transformers": "[{way}/transformer.yaml]",
    "validators": "[{way}/transformer.yaml]",
    "patchesStrategicMerge": "[{way}/merge.yaml]",
    "patchesJson6902": "[{path: {way}/patch.yaml, target: {version: v1, kind: ConfigMap, name: a}}]",
    "patches": "[{path: {way}/patch.yaml, target: {kind: ConfigMap}}]",
    "replacements": "[{path: {way}/replacement.yaml}]",
    "openapi": "{path: {way}/schema.json}",
    "secretGenerator": "[{name: x, envs: [{way}/canary.env]}]",
    "configMapGenerator": "[{name: x, env: {way}/canary.env}]",
}
"""Every field of a kustomization that has a path in it."""


def _cased(name: str) -> str:
    return name[0].upper() + name[1:]


for _name, _value in FIELDS.items():
    for _way in ("out", "folder"):
        _text = "resources: [a.yaml]\n" if _name != "resources" else ""
        _text += f"{_cased(_name)}: {_value.replace('{way}', f'{{{_way}}}')}\n"
        ATTACKS[f"{_name}-by-{'steps-up' if _way == 'out' else 'an-absolute-path'}"] = Attack(_base(_text))


def _filled(text: str, folder: Path) -> str:
    out = UP + str(folder).lstrip("/")
    places = {"out": out, "folder": str(folder), "up": UP}
    places["binary"] = base64.b64encode(f"{out}/canary.yaml".encode()).decode()
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", place)
    return text


def _tree(place: Path, files: Mapping[str, str], links: Mapping[str, str] | None = None) -> Path:
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name, target in (links or {}).items():
        (place / name).symlink_to(target)
    return place


async def _said(tree: Path, spec: Mapping[str, Any] | None = None, **options: Any) -> tuple[bool, str]:
    """Whether it was built, and all that the user sees of it."""
    try:
        built = await build(tree, f"sha256:{tree}", spec or {}, {}, **options)
    except Problem as problem:
        return False, str([(one.message, one.next_step, one.origin) for one in problem.failures])
    return True, json.dumps([one.object for one in built.objects])


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What lies beside the artifact on the machine."""
    return _tree(tmp_path / "outside", OUTSIDE)


@pytest.mark.parametrize("name", ATTACKS)
async def test_nothing_outside_is_read(tmp_path: Path, outside: Path, name: str) -> None:
    attack = ATTACKS[name]
    files = {path: _filled(text, outside) for path, text in attack.files.items()}
    links = {path: _filled(target, outside) for path, target in attack.links.items()}
    tree = _tree(tmp_path / "artifact", files, links)
    built, said = await _said(tree, {"path": "app" if (tree / "app").exists() else "."})
    seen = said + "".join(base64.b64decode(word).decode(errors="replace") for word in _encoded(said))
    assert CANARY not in seen
    assert "HOME=" not in seen
    assert not built, said


def _encoded(text: str) -> list[str]:
    """Values of Secrets and of binary data."""
    words = text.replace('"', " ").split()
    return [word for word in words if len(word) % 4 == 0 and len(word) > 16 and word.isascii() and _is_base64(word)]


def _is_base64(word: str) -> bool:
    with contextlib.suppress(ValueError):
        base64.b64decode(word, validate=True)
        return True
    return False


async def test_decryption_cannot_write_a_kustomization_that_leaves(tmp_path: Path, outside: Path) -> None:
    """It is rewritten after we have looked for good messages."""
    age = generate()
    nested = _filled("configMapGenerator: [{name: x, files: ['k={out}/canary.txt']}]\n", outside)
    files = {
        "kustomization.yaml": "resources: [base]\nsecretGenerator: [{name: s, files: [k=base/kustomization.yaml]}]\n",
        "base/kustomization.yaml": age.encrypt(nested),
    }
    keys = Decryption(Keys(age=age.identity))
    built, said = await _said(_tree(tmp_path / "artifact", files), decryption=keys)
    assert CANARY not in said
    assert "leaves the artifact" in said
    assert not built


async def test_nothing_outside_is_written(tmp_path: Path, outside: Path) -> None:
    """What we write into the copy of an artifact goes through no link."""
    outside_file = outside / "kustomization.yaml"
    tree = _tree(tmp_path / "artifact", {"a.yaml": config_map("a")}, {"kustomization.yaml": str(outside_file)})
    built, said = await _said(tree, {"namePrefix": "x-"})
    assert not built, said
    assert outside_file.read_text() == OUTSIDE["kustomization.yaml"]


async def test_the_room_for_remote_bases_is_no_link(tmp_path: Path, outside: Path) -> None:
    files = {"kustomization.yaml": "resources: ['https://127.0.0.1:9/x.yaml']\n"}
    tree = _tree(tmp_path / "artifact", files, {".remote": str(outside)})
    before = sorted(outside.rglob("*"))
    _, said = await _said(tree, remote_bases=True)
    assert "'.remote'" in said
    assert sorted(outside.rglob("*")) == before


@pytest.fixture
async def listener() -> AsyncIterator[tuple[int, list[str]]]:
    """A port and who has called there."""
    calls: list[str] = []

    async def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append((await reader.read(100)).decode(errors="replace"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(called, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], calls


REMOTE = {
    "resource": "Resources: ['http://127.0.0.1:{port}/x.yaml']\n",
    "repository": "Resources: ['git::http://127.0.0.1:{port}/x.git//y?ref=main']\n",
    "file": "resources: [a.yaml]\nconfigMapGenerator: [{name: x, Files: ['k=http://127.0.0.1:{port}/x']}]\n",
    "patch": "resources: [a.yaml]\nPatches: [{path: 'http://127.0.0.1:{port}/x'}]\n",
    "schema": "OpenAPI: {path: 'http://127.0.0.1:{port}/x'}\n",
}


@pytest.mark.parametrize("name", REMOTE)
async def test_nobody_is_called(tmp_path: Path, listener: tuple[int, list[str]], name: str) -> None:
    port, calls = listener
    tree = _tree(tmp_path, _base(REMOTE[name].replace("{port}", str(port))))
    built, said = await _said(tree, {"path": "app"})
    assert not built, said
    assert calls == []
    assert "FLUXLESS_REMOTE_BASES" in said
    assert not [path for path in Path("/tmp").glob("kustomize-*") if path.stat().st_uid == os.getuid()]


SCHEMA = {
    "definitions": {
        "io.example.v1.Thing": {
            "x-kubernetes-group-version-kind": [{"group": "example.io", "version": "v1", "kind": "Thing"}],
            "properties": {
                "spec": {
                    "properties": {
                        "items": {
                            "type": "array",
                            "items": {"properties": {"name": {"type": "string"}, "value": {"type": "string"}}},
                            "x-kubernetes-patch-merge-key": "name",
                            "x-kubernetes-patch-strategy": "merge",
                        }
                    }
                }
            },
        }
    }
}
THING = "apiVersion: example.io/v1\nkind: Thing\nmetadata: {name: t}\nspec: {items: [{name: %s, value: '1'}]}\n"


async def test_a_schema_of_one_tenant_is_none_of_the_next(tmp_path: Path) -> None:
    """kustomize keeps what it knows of kinds for the whole process."""
    files = {"thing.yaml": THING % "a", "patch.yaml": THING % "b"}
    about = "resources: [thing.yaml]\npatches: [{path: patch.yaml}]\n"
    plain = files | {"kustomization.yaml": about}
    own = files | {"kustomization.yaml": f"{about}openapi: {{path: schema.json}}\n", "schema.json": json.dumps(SCHEMA)}
    kinds = {"plain": plain, "own": own}
    found: dict[str, set[int]] = {"plain": set(), "own": set()}
    for turn, which in enumerate(["plain", "own", "own", "plain", "plain", "own", "plain"]):
        built = await build(_tree(tmp_path / str(turn), kinds[which]), f"sha256:{tmp_path}{turn}", {}, {})
        found[which].add(len(built.objects[0].object["spec"]["items"]))
    assert found == {"plain": {1}, "own": {2}}


def _bomb(levels: int) -> str:
    lines = ["apiVersion: v1", "kind: ConfigMap", "metadata: {name: bomb}", "data:", "  a0: &a0 {a: x, b: y}"]
    lines += [f"  a{level}: &a{level} {{a: *a{level - 1}, b: *a{level - 1}}}" for level in range(1, levels)]
    return "\n".join(lines) + "\n"


OVER = {
    "memory": ("-memory=200000000", {"a.yaml": _bomb(30)}, "MiB of memory"),
    "processor": ("-cpu=0", {"a.yaml": _bomb(21)}, "s of processor time"),
    "output": ("-output=1000", {"a.yaml": config_map("a", "x" * 2000)}, "the result is larger than"),
}


@pytest.mark.parametrize("limit", OVER)
async def test_a_build_over_its_limits_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    from fluxless.render import kustomize as rendering

    argument, files, words = OVER[limit]
    monkeypatch.setattr(rendering, "_pool", ProcessPools(rendering.AT_ONCE, rendering._started).here)
    monkeypatch.setattr(rendering, "ARGUMENTS", (*rendering.ARGUMENTS, argument))
    files = {"kustomization.yaml": "resources: [a.yaml]\n", **files}
    built, said = await _said(_tree(tmp_path / "greedy", files))
    assert not built
    assert words in said
    healthy = {"a.yaml": config_map("a")}
    assert (await _said(_tree(tmp_path / "healthy", healthy)))[0]


async def test_a_build_takes_no_longer_than_it_may(tmp_path: Path) -> None:
    files = {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": _bomb(30)}
    built, said = await _said(_tree(tmp_path / "slow", files), timeout=0.3)
    assert not built
    assert "it took longer than" in said
    assert (await _said(_tree(tmp_path / "healthy", {"a.yaml": config_map("a")})))[0]


async def test_builds_of_one_tenant_hold_up_no_other(tmp_path: Path) -> None:
    bomb = {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": _bomb(30)}
    before = tenant.set("greedy")
    slow = [asyncio.create_task(_said(_tree(tmp_path / f"slow{number}", bomb), timeout=2.0)) for number in range(8)]
    tenant.reset(before)
    await asyncio.sleep(0.5)
    healthy = _tree(tmp_path / "healthy", {"a.yaml": config_map("a")})
    assert (await _said(healthy))[0]
    assert not all(task.done() for task in slow)
    assert [built for built, _ in await asyncio.gather(*slow)] == [False] * len(slow)


async def test_a_caller_in_a_hurry_ends_no_build_of_another(tmp_path: Path) -> None:
    """Both ask for the same: the first one's timeout is his own."""
    all_ = "---\n".join(config_map(f"c{number}") for number in range(600))
    tree = _tree(tmp_path, {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": all_})
    hurried = asyncio.create_task(_said(tree, timeout=0.01))
    await asyncio.sleep(0)
    patient = asyncio.create_task(_said(tree))
    assert [built for built, _ in await asyncio.gather(hurried, patient)] == [False, True]


REPLACED = (
    "replacements: [{source: {kind: Secret, name: s, fieldPath: type}, "
    'targets: [{select: {kind: Secret}, fieldPaths: ["%s"]}]}]\n'
)
SPOKEN = {
    "generated": "secretGenerator: [{name: s, files: [p=secret.txt]}]\n" + REPLACED % "data.p.[a=b]",
    "whole-data": "secretGenerator: [{name: s, files: [p=secret.txt]}]\n" + REPLACED % "data.[a=b]",
    "patched": "resources: [s.yaml]\npatches: [{path: secret.yaml}]\n" + REPLACED % "stringData.[a=b]",
}


@pytest.mark.parametrize("name", SPOKEN)
async def test_kustomize_tells_no_decrypted_word(tmp_path: Path, name: str) -> None:
    age = generate()
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: Opaque\n"
    files = {
        "kustomization.yaml": SPOKEN[name],
        "s.yaml": secret,
        "secret.txt": age.encrypt(CANARY, "binary"),
        "secret.yaml": age.encrypt(f"{secret}stringData: {{x: {CANARY}}}\n", "yaml"),
    }
    built, said = await _said(_tree(tmp_path, files), decryption=Decryption(Keys(age=age.identity)))
    assert not built, said
    words = [word for word in re.findall(r"[A-Za-z0-9+/]{16,}=*", said) if _is_base64(word)]
    seen = said + "".join(base64.b64decode(word).decode(errors="replace") for word in words)
    assert CANARY not in seen
    assert "are not shown" in said


async def test_an_error_that_holds_no_decrypted_word_is_told(tmp_path: Path) -> None:
    age = generate()
    files = {
        "kustomization.yaml": "resources: [missing.yaml]\nsecretGenerator: [{name: s, files: [p=secret.txt]}]\n",
        "secret.txt": age.encrypt(CANARY, "binary"),
    }
    _, said = await _said(_tree(tmp_path, files), decryption=Decryption(Keys(age=age.identity)))
    assert "missing.yaml" in said


def _base_of(entries: str) -> dict[str, str]:
    return _app("resources: [base]\n") | {"app/base/kustomization.yaml": f"crds: [{entries}]\n"}


async def test_paths_that_are_named_often_are_followed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def counted(path: Path) -> Path | None:
        asked.append(path)
        return resolved(path)

    monkeypatch.setattr(jail, "resolved", counted)
    check(Files(_tree(tmp_path, _base_of("x, " * 5000))), tmp_path / "app")
    assert len(asked) < 10


async def test_kustomizations_name_no_end_of_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KUSTOMIZATION_ENTRIES", 100)
    built, said = await _said(_tree(tmp_path, _base_of(", ".join(f"x{n}" for n in range(200)))), {"path": "app"})
    assert not built
    assert "more than 100 paths" in said


async def test_one_large_kustomization_is_not_read_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KUSTOMIZATION_BYTES", 10_000)
    files = {f"k{n}/kustomization.yaml": f"# {'x' * 1000}\nresources: []\n" for n in range(50)}
    files["kustomization.yaml"] = f"resources: [{', '.join(f'k{n}' for n in range(50))}]\n"
    built, said = await _said(_tree(tmp_path, files))
    assert not built
    assert "larger than" in said


async def test_after_an_error_no_more_is_read_than_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def noted(text: Any, name: str, **options: Any) -> Iterator[Any]:
        read.append(name)
        return load_all(text, name, **options)

    monkeypatch.setattr(building, "load_all", noted)
    files = {f"f{number}.yaml": "a: [\n" for number in range(20)}
    files |= {f"d{number}/a.yaml": "x: y\n" for number in range(50)}
    built, said = await _said(_tree(tmp_path, files | {"kustomization.yaml": "resources: [d0/a.yaml]\n"}))
    assert not built, said
    assert len(read) == limits.EXPLAINED_FILES
    assert {name.rpartition("/")[2] for name in read} <= {"a.yaml", "kustomization.yaml"}


@pytest.mark.parametrize("way", ["component", "resource"])
async def test_nobody_learns_what_exists_on_the_machine(tmp_path: Path, way: str) -> None:
    said = []
    for name in ("passwd", "nothere"):
        path = f"{UP}etc/{name}"
        spec: dict[str, Any] = {"components": [path], "ignoreMissingComponents": True} if way == "component" else {}
        text = "resources: [a.yaml]\n" if way == "component" else f"resources: ['a.io/{path}']\n"
        files = {"kustomization.yaml": text, "a.yaml": config_map("a"), "a.io/x": ""}
        said.append(await _said(_tree(tmp_path / name, files), spec))
    assert not said[0][0]
    assert str(said[0]).replace("passwd", "nothere") == str(said[1])


HOLDER = """
import asyncio
from pathlib import Path
from fluxless.render import kustomize as rendering

async def main():
    await rendering.kustomize(Path({tree!r}), Path({tree!r}))
    (_, process), = rendering._pool()._idle
    print(process._process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_the_process_has_no_environment_and_ends_with_its_parent(tmp_path: Path) -> None:
    tree = _tree(tmp_path, {"kustomization.yaml": "resources: [a.yaml]\n", "a.yaml": config_map("a")})
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER.format(tree=str(tree))),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "SECRET": CANARY},
    )
    assert parent.stdout is not None
    child = Path("/proc") / (await asyncio.wait_for(parent.stdout.readline(), 30)).decode().strip()
    assert (child / "environ").read_bytes() == b""
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    for _ in range(200):
        if not child.exists() or (child / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it goes on without its parent")
