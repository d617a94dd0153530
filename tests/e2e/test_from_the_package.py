"""The whole app from its package: a commit is applied by binaries that were copied out of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.flux import Flux, ready
from tests.support.hosted import Hosted, until
from tests.support.packages import unpacked
from tests.support.repositories import Repo, config_map
from tools import binaries, environment, package


@pytest_asyncio.fixture(loop_scope="session")
async def copies(hosted: Hosted, tmp_path: Path) -> AsyncIterator[Path]:
    """The host runs the package; the folder is where its temporary files are. No setting says where binaries are."""
    archive = await asyncio.to_thread(package.build, tmp_path / "fluxless.zip")
    temporary, settings = tmp_path / "tmp", hosted.env.folder / "host.env"
    temporary.mkdir()
    before = settings.read_text()
    named = [binary.setting for binary in binaries.SHIPPED]
    lines = [line for line in before.splitlines() if line.partition("=")[0] not in named]
    settings.write_text("\n".join([*lines, f"TMPDIR={temporary}"]))
    hosted.kill()
    with unpacked(archive, tmp_path / "wwwroot") as folder:
        try:
            with pytest.MonkeyPatch.context() as environ:
                for name in named:
                    environ.delenv(name, raising=False)
                await asyncio.to_thread(environment.start_host, hosted.env.folder, app=folder)
            yield temporary
        finally:
            settings.write_text(before)
            hosted.kill()
            await hosted.start()


async def test_a_commit_is_applied_by_the_package(hosted: Hosted, user: Flux, pushed: Repo, copies: Path) -> None:
    assert (await hosted.post(b"{}", {}))[0] == 401
    kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"
    pushed.push({"a.yaml": config_map("a", "1"), "kustomization.yaml": kustomization})
    await user.source(pushed)
    await user.kustomization("app")

    async def applied() -> bool:
        return ready(await user.ks("app"))[0] == "True"

    await until(applied, "the package to apply a commit")
    assert await user.value("a") == "1"
    assert [file.name for file in copies.glob("fluxless-kustomize-*")]
