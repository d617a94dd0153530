"""`fluxless build` and `diff kustomization`: a local folder against the cluster, with Flux's exit codes."""

from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.support.age import generate
from tests.support.command import fluxless
from tests.support.flux import KUSTOMIZE, Flux
from tests.support.repositories import Repo, config_map, deployment

SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  word: {}\n  other: kept-as-it-is\n"


class Desk:
    """A checkout of the repository, and the commands over it."""

    def __init__(self, flux: Flux, repo: Repo, kubeconfig: Path, folder: Path) -> None:
        self.flux = flux
        self._config = kubeconfig
        self.folder = folder / "checkout"
        repo.git_in(folder, "clone", "-q", str(repo.bare), str(self.folder))

    def write(self, files: dict[str, str | None]) -> None:
        for name, text in files.items():
            path = self.folder / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    def run(self, verb: str, *more: str | Path, path: str = "", name: str = "app") -> CompletedProcess[str]:
        space = ("-n", self.flux.namespace)
        return fluxless(self._config, verb, "kustomization", name, "--path", self.folder / path, *space, *more)


async def _desk(flux: Flux, repo: Repo, kubeconfig: Path, folder: Path, files: dict[str, str], **spec: Any) -> Desk:
    repo.push(dict(files))
    await flux.source(repo)
    await flux.kustomization("app", **spec)
    await flux.run()
    return Desk(flux, repo, kubeconfig, folder)


async def test_what_is_deployed_has_no_difference(flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path) -> None:
    files = {"a.yaml": config_map("a"), "web.yaml": deployment("web", replicas=0), "s.yaml": SECRET.format("open")}
    desk = await _desk(flux, repo, control_plane, tmp_path, files)
    done = desk.run("diff")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_created_drifted_and_deleted_are_told_line_by_line(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    files = {"a.yaml": config_map("a"), "b.yaml": config_map("b"), "web.yaml": deployment("web", replicas=0)}
    desk = await _desk(flux, repo, control_plane, tmp_path, files)
    desk.write({"a.yaml": config_map("a", "2"), "b.yaml": None, "new/c.yaml": config_map("c")})
    before = {path: path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()}
    done = desk.run("diff")
    space = flux.namespace
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == [
        f"► ConfigMap/{space}/a drifted (from a.yaml:1)",
        "  …",
        "   apiVersion: v1",
        "   data:",
        '  -  value: "1"',
        '  +  value: "2"',
        "   kind: ConfigMap",
        "   metadata:",
        "     labels:",
        f"► ConfigMap/{space}/c created (from new/c.yaml:1)",
        f"► ConfigMap/{space}/b deleted",
    ]
    assert await flux.value("a") == "1"
    assert before == {path: path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()}


async def test_what_the_api_server_refuses_is_named_all_of_it(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    desk = await _desk(flux, repo, control_plane, tmp_path, {"web.yaml": deployment("web", replicas=0)})
    bad = "apiVersion: {}\nkind: {}\nmetadata:\n  name: x\n{}"
    desk.write(
        {
            "web.yaml": deployment("web", replicas=0).replace("app: web", "app: other"),
            "kind.yaml": bad.format("example.com/v1", "Nothing", ""),
            "field.yaml": bad.format("v1", "ConfigMap", "data: {a: {}}\n"),
        }
    )
    done = desk.run("diff")
    assert done.returncode == 2
    lines = sorted(done.stderr.splitlines())
    assert len(lines) == 3, done.stderr
    assert lines[0].startswith(f"✗ ConfigMap/{flux.namespace}/x dry-run failed")
    assert "(from field.yaml:1)" in lines[0]
    assert "field is immutable (from web.yaml:1) — Set spec.force" in lines[1]
    assert 'no matches for kind "Nothing" in version "example.com/v1" (from kind.yaml:1)' in lines[2]


async def test_a_misspelt_field_is_left_out_and_told(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    desk = await _desk(flux, repo, control_plane, tmp_path, {"a.yaml": config_map("a")})
    desk.write({"a.yaml": config_map("a") + "dta: {}\n"})
    done = desk.run("diff")
    assert (done.returncode, done.stdout) == (0, "")
    subject = f"ConfigMap/{flux.namespace}/a"
    assert done.stderr == f"! {subject}: unknown field(s) would be left out: .dta (from a.yaml:1)\n"


async def test_with_force_it_is_recreated(flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path) -> None:
    desk = await _desk(flux, repo, control_plane, tmp_path, {"w.yaml": deployment("w", replicas=0)}, force=True)
    desk.write({"w.yaml": deployment("w", replicas=0).replace("app: w", "app: other")})
    done = desk.run("diff")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"► Deployment/{flux.namespace}/w recreated (from w.yaml:1)\n")


async def test_values_of_secrets_are_not_shown(flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path) -> None:
    variables = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vars", "namespace": flux.namespace}}
    await flux.cluster.create(variables | {"stringData": {"PASSWORD": "first-password"}})
    files = {"s.yaml": SECRET.format("first-word"), "a.yaml": config_map("a", "is ${PASSWORD}")}
    from_secret = {"substituteFrom": [{"kind": "Secret", "name": "vars"}]}
    desk = await _desk(flux, repo, control_plane, tmp_path, files, postBuild=from_secret)
    assert await flux.value("a") == "is first-password"
    await flux.patch("v1", "Secret", "vars", {"stringData": {"PASSWORD": "second-password"}})
    desk.write({"s.yaml": SECRET.format("second-word")})
    done = desk.run("diff")
    assert done.returncode == 1, done.stderr
    for value in ("first-password", "second-password", "first-word", "second-word", "Zmlyc3Qtd29yZA"):
        assert value not in done.stdout + done.stderr
    shown = [line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith(("  -", "  +"))]
    assert shown == ["'*** (before)'", "'*** (after)'"] * 2
    assert "    other: '***'" in done.stdout


async def test_encrypted_secrets_are_compared_in_plain_where_the_keys_are(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    key = generate()
    only_values = ("--encrypted-regex", "^(data|stringData)$")
    holder = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": flux.namespace}}
    await flux.cluster.create(holder | {"stringData": {"age.agekey": key.identity}})
    files = {"s.yaml": key.encrypt(SECRET.format("first-word"), "yaml", *only_values)}
    decryption = {"provider": "sops", "secretRef": {"name": "keys"}}
    desk = await _desk(flux, repo, control_plane, tmp_path, files, decryption=decryption)
    assert desk.run("diff").returncode == 0
    desk.write({"s.yaml": key.encrypt(SECRET.format("second-word"), "yaml", *only_values)})
    changed = desk.run("diff")
    assert changed.returncode == 1, changed.stderr
    assert "word: '*** (after)'" in changed.stdout
    assert "second-word" not in changed.stdout
    await flux.delete("v1", "Secret", "keys")
    sealed = desk.run("diff")
    assert (sealed.returncode, sealed.stdout) == (0, "")
    assert "secrets are not decrypted, only their keys are compared: secret" in sealed.stderr
    shown = desk.run("build")
    assert shown.returncode == 0, shown.stderr
    secret = yaml.safe_load(shown.stdout)
    assert secret["data"] == {"word": "KipTT1BTKio=", "other": "KipTT1BTKio="}
    assert "sops" not in secret


async def test_a_path_of_a_larger_checkout_builds_with_what_lies_beside_it(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    files = {
        "base/a.yaml": config_map("a"),
        "base/kustomization.yaml": "resources: [a.yaml]\n",
        "prod/kustomization.yaml": "resources: [../base]\n",
        "ignored/broken.yaml": "{",
    }
    desk = await _desk(flux, repo, control_plane, tmp_path, files, path="./prod")
    assert desk.run("diff", path="prod").returncode == 0
    built = desk.run("build", path="prod")
    assert yaml.safe_load(built.stdout)["metadata"]["labels"] == {
        "kustomize.toolkit.fluxcd.io/name": "app",
        "kustomize.toolkit.fluxcd.io/namespace": flux.namespace,
    }


async def test_kustomizations_below_are_looked_at_as_well(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    below = (
        f"apiVersion: {KUSTOMIZE}\nkind: Kustomization\nmetadata:\n  name: below\nspec:\n  interval: 10m\n"
        f"  prune: true\n  path: ./apps\n  targetNamespace: {flux.namespace}\n"
        "  sourceRef:\n    kind: GitRepository\n    name: repo\n"
    )
    files = {"cluster/below.yaml": below, "apps/a.yaml": config_map("a")}
    desk = await _desk(flux, repo, control_plane, tmp_path, files, path="./cluster")
    await flux.run()
    desk.write({"apps/a.yaml": config_map("a", "2")})
    assert desk.run("diff", path="cluster").returncode == 0
    done = desk.run("diff", "--recursive", path="cluster")
    assert done.returncode == 1, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first == f"📁 Kustomization/{flux.namespace}/below changed"
    assert second == f"► ConfigMap/{flux.namespace}/a drifted (from apps/a.yaml:1)"
    built = desk.run("build", "-r", path="cluster").stdout
    assert [doc["kind"] for doc in yaml.safe_load_all(built)] == ["Kustomization", "ConfigMap"]


def _file(folder: Path, **spec: object) -> Path:
    source = {"kind": "GitRepository", "name": "repo"}
    body = {"interval": "10m", "prune": True, "sourceRef": source, "path": "./", **spec}
    file = folder / "ks.yaml"
    document = {"apiVersion": KUSTOMIZE, "kind": "Kustomization", "metadata": {"name": "new"}, "spec": body}
    file.write_text(yaml.safe_dump(document))
    return file


async def test_a_new_kustomization_is_read_from_a_file(
    flux: Flux, repo: Repo, control_plane: Path, tmp_path: Path
) -> None:
    desk = await _desk(flux, repo, control_plane, tmp_path, {"a.yaml": config_map("b")})
    file = _file(tmp_path, targetNamespace=flux.namespace, namePrefix="new-")
    absent = desk.run("diff", "--kustomization-file", file, name="new")
    assert absent.returncode == 2
    assert "is not in the cluster — --ignore-not-found" in absent.stderr
    done = desk.run("diff", "--kustomization-file", file, "--ignore-not-found", name="new")
    assert (done.returncode, done.stdout) == (1, f"► ConfigMap/{flux.namespace}/new-b created (from a.yaml:1)\n")


def test_a_build_needs_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.yaml").write_text(config_map("a", "${known}-${unknown}"))
    (tmp_path / "src" / "b.yaml").write_text(config_map("b"))
    file = _file(
        tmp_path, postBuild={"substitute": {"known": "x"}, "substituteFrom": [{"kind": "Secret", "name": "s"}]}
    )
    arguments = ("build", "kustomization", "new", "--dry-run", "--path", tmp_path / "src", "--kustomization-file", file)
    done = fluxless(Path("/nowhere"), *arguments, "--ignore-paths", "b.yaml,c.yaml")
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["data"] == {"value": "x-"}
    strict = fluxless(Path("/nowhere"), *arguments, "--strict-substitute")
    assert strict.returncode == 1
    assert 'variable not set (strict mode): "unknown"' in strict.stderr
    assert "(from a.yaml:1)" in strict.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--path", "/nowhere"], "invalid resource path '/nowhere': it is no folder"),
        (["--path", "/tmp", "--local-sources", "repo=/tmp"], "--local-sources 'repo=/tmp' is not understood"),
        (["--path", "/tmp"], "Kustomization none not found in namespace default"),
        (["--path", "/tmp", "--kustomization-file", "/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_bad_flags_exit_with_two(control_plane: Path, arguments: list[str], words: str) -> None:
    done = fluxless(control_plane, "diff", "kustomization", "none", "-n", "default", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
