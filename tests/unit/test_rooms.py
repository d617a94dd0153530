"""Each SDK is imported in one room (docs/architecture.md): import-linter does not look into namespace packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "kubernetes": ["fluxless/kube/"],
    "azure.storage.blob": ["fluxless/artifacts/blob.py", "fluxless/bucket/azure.py"],
    "azure.identity": ["fluxless/auth/"],
    "azure.mgmt.containerservice": ["fluxless/kube/connect.py"],
    "azure.containerregistry": ["fluxless/oci/"],
    "azure.mgmt.resource.deployments": ["fluxless/cli/arm.py"],
    "azure.monitor": ["fluxless/telemetry.py"],
    "opentelemetry": ["fluxless/telemetry.py"],
    "prometheus_client": ["fluxless/engine/exposition.py"],
    "azure.functions": ["functions/", "function_app.py"],
    "azure.durable_functions": ["functions/", "function_app.py"],
    "minio": ["fluxless/bucket/s3.py"],
    "pygit2": ["fluxless/git/libgit2.py"],
    "cel_expr_python": ["fluxless/reconcile/expressions.py"],
    "re2": ["fluxless/patterns.py"],
    "pathspec": ["fluxless/patterns.py"],
    "sigstore": ["fluxless/oci/keyless.py"],
    "yaml": ["fluxless/go_yaml/", "fluxless/render/key_services.py"],  # the latter by events, stricter than any tool
    "subprocess": ["fluxless/process.py"],
}


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("sdk", ROOMS)
def test_an_sdk_is_imported_in_its_room_only(sdk: str) -> None:
    files = [*(ROOT / "fluxless").rglob("*.py"), *(ROOT / "functions").rglob("*.py"), ROOT / "function_app.py"]
    users = {
        file.relative_to(ROOT).as_posix()
        for file in files
        if any(name == sdk or name.startswith(f"{sdk}.") for name in _imports(file))
    }
    assert {user for user in users if not user.startswith(tuple(ROOMS[sdk]))} == set()


def test_files_of_artifacts_are_read_by_the_verifying_reader_only() -> None:
    users = {
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "fluxless").rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr == "get_file"
            for node in ast.walk(ast.parse(file.read_text()))
        )
    }
    assert users == {"fluxless/artifacts/verified.py"}
