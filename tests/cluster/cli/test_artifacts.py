"""`push`, `pull`, `list`, `tag` and `diff artifact` against a real registry."""

import asyncio
import json
from pathlib import Path

import pytest

from fluxless.oci import media
from tests.support.command import fluxless
from tests.support.registry import Images

NOWHERE = Path("/dev/null")  # these commands need no cluster
ABOUT = ("--source", "https://example.org/app.git", "--revision", "main@sha1:0123")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What is pushed."""
    (tmp_path / "app" / "x").mkdir(parents=True)
    (tmp_path / "app" / "a.yaml").write_text("a: 1\n")
    (tmp_path / "app" / "x" / "b.yaml").write_text("b: 2\n")
    (tmp_path / "app" / "p.png").write_text("png")
    return tmp_path / "app"


def test_there_and_back(images: Images, folder: Path, tmp_path: Path) -> None:
    url = f"{images.url}:v1.0.0"
    pushed = fluxless(NOWHERE, "push", "artifact", url, "-f", str(folder), *ABOUT, "-a", "team=web")
    assert pushed.returncode == 0, pushed.stderr
    assert f"artifact successfully pushed to {images.repository}@sha256:" in pushed.stdout
    assert fluxless(NOWHERE, "tag", "artifact", url, "--tag", "latest,v1").returncode == 0
    listed = fluxless(NOWHERE, "list", "artifacts", images.url)
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    assert [row[0].rpartition(":")[2] for row in rows] == ["v1.0.0", "v1", "latest"]
    assert {tuple(row[2:]) for row in rows} == {("https://example.org/app.git", "main@sha1:0123")}
    assert len({row[1] for row in rows}) == 1
    some = fluxless(NOWHERE, "list", "artifacts", images.url, "--filter-semver", "1.x", "--filter-regex", "^v")
    assert len(some.stdout.splitlines()) == 2

    target = tmp_path / "out"
    target.mkdir()
    pulled = fluxless(NOWHERE, "pull", "artifact", url, "--output", str(target))
    assert pulled.returncode == 0, pulled.stderr
    assert "revision main@sha1:0123" in pulled.stdout
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*.*")) == ["a.yaml", "x/b.yaml"]


def test_a_difference_is_named(images: Images, folder: Path) -> None:
    url = f"{images.url}:v1"
    fluxless(NOWHERE, "push", "artifact", url, "-f", str(folder), *ABOUT)
    same = fluxless(NOWHERE, "diff", "artifact", url, "--path", str(folder))
    assert (same.returncode, same.stdout) == (0, "✔ no changes detected\n")
    (folder / "a.yaml").write_text("a: 2\n")
    (folder / "c.yaml").write_text("c: 3\n")
    (folder / "x" / "b.yaml").unlink()
    other = fluxless(NOWHERE, "diff", "artifact", url, "--path", str(folder))
    assert other.returncode == 1
    assert "differs from the local one: ~a.yaml, +c.yaml, -x/b.yaml" in other.stderr


def test_the_same_bytes_at_any_time(images: Images, folder: Path) -> None:
    digests = set()
    for tag in ("one", "two"):
        url = f"{images.url}:{tag}"
        done = fluxless(NOWHERE, "push", "artifact", url, "-f", str(folder), *ABOUT, "--reproducible", "-o", "json")
        digests.add(json.loads(done.stdout)["digest"])
    assert len(digests) == 1

    async def notes() -> dict[str, str]:
        async with images.open() as client:
            return dict((await client.manifest("one")).annotations)

    assert asyncio.run(notes())[media.CREATED] == "1970-01-01T00:00:00Z"


def test_what_cannot_be_done_is_said(images: Images, folder: Path, tmp_path: Path) -> None:
    cases: dict[str, tuple[tuple[str, ...], str]] = {
        "no oci": (("pull", "artifact", "https://x/y", "-o", str(tmp_path)), "URL must be in format"),
        "no tag": (("pull", "artifact", f"{images.url}:none", "-o", str(tmp_path)), "manifests/none not found"),
        "no folder": (("pull", "artifact", images.url, "-o", str(tmp_path / "no")), "invalid output path"),
        "no path": (("push", "artifact", images.url, "-f", str(tmp_path / "no"), *ABOUT), "invalid path"),
        "note": (("push", "artifact", images.url, "-f", str(folder), *ABOUT, "-a", "x"), "invalid annotation x"),
        "range": (("list", "artifacts", images.url, "--filter-semver", "one"), "semver 'one' parse error"),
        "no tags": (("tag", "artifact", images.url), "--tag is required"),
    }
    for name, (arguments, text) in cases.items():
        done = fluxless(NOWHERE, *arguments)
        assert done.returncode == 1, name
        assert text in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
