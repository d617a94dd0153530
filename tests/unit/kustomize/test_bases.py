"""What an address of a remote base means, by kustomize's rules."""

import pytest

from fluxless.kustomize.bases import Base, parse

REPO = "https://github.com/org/app"


@pytest.mark.parametrize(
    ("entry", "base"),
    [
        ("github.com/org/app", Base(REPO)),
        ("github.com/org/app/deploy/prod?ref=v1", Base(REPO, "deploy/prod", "v1")),
        ("https://github.com/org/app//deploy?ref=v1&timeout=90s", Base(REPO, "deploy", "v1")),
        ("https://github.com/org/app.git/deploy?version=v1", Base(f"{REPO}.git", "deploy", "v1")),
        ("git::https://example.com/a/b/c.git//d", Base("https://example.com/a/b/c.git", "d")),
        ("https://example.com/a/b/c//d", Base("https://example.com/a/b/c", "d")),
        ("https://dev.azure.com/o/p/_git/r/x?ref=main", Base("https://dev.azure.com/o/p/_git/r", "x", "main")),
        ("https://example.com/x/y.yaml", Base(file="https://example.com/x/y.yaml")),
        ("git@github.com:org/app.git", None),
        ("github.com:org/app", None),
        ("ssh://git@github.com/org/app", None),
        ("https://user:pass@example.com/a/b", None),
        ("file:///etc", None),
    ],
)
def test_addresses(entry: str, base: Base | None) -> None:
    assert parse(entry) == base
