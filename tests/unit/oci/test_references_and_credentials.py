"""Names of repositories, and which entry of a docker configuration is meant for one."""

import base64
import json
from typing import Any

import pytest

from fluxless.oci.auth import Credentials, of_docker_config
from fluxless.oci.errors import InvalidReference
from fluxless.oci.reference import Repository, parse

DIGEST = f"sha256:{'a' * 64}"
GOOD = {
    "oci://r.example/a": ("r.example", "a", ""),
    "oci://r.example:5000/a/b-c__d.e:v1.0": ("r.example:5000", "a/b-c__d.e", "v1.0"),
    f"oci://r.example/a@{DIGEST}": ("r.example", "a", f"@{DIGEST}"),
    f"oci://r.example/a:v1@{DIGEST}": ("r.example", "a", f"@{DIGEST}"),
    "oci://localhost/a": ("localhost", "a", ""),
    "oci://[::1]:5000/a": ("[::1]:5000", "a", ""),
    "oci://docker.io/library/a": ("index.docker.io", "library/a", ""),
}
BAD = [
    "https://r.example/a",
    "oci://r.example",
    "oci://r/a",
    "oci://r.example/A",
    "oci://r.example/a//b",
    "oci://r.example/../a",
    "oci://user:pw@r.example/a",
    "oci://r.example/a:-x",
    "oci://r.example/a@sha256:12",
    "oci:///a",
]


@pytest.mark.parametrize("url", GOOD)
def test_a_good_name_is_read(url: str) -> None:
    host, path, reference = GOOD[url]
    assert parse(url) == (Repository(host, path), reference)


@pytest.mark.parametrize("url", BAD)
def test_a_bad_name_is_refused(url: str) -> None:
    with pytest.raises(InvalidReference):
        parse(url)


ENTRIES: dict[str, tuple[str, bool]] = {
    "r.example": ("r.example/a/b", True),
    "https://r.example": ("r.example/a/b", True),
    "https://r.example/v1/": ("r.example/a/b", False),
    "r.example/a": ("r.example/a/b", True),
    "r.example/ab": ("r.example/a/b", False),
    "*.example": ("r.example/a/b", True),
    "*.example/": ("x.r.example/a/b", False),
    "r.example:5000": ("r.example/a/b", False),
    "https://index.docker.io/v1/": ("index.docker.io/library/a", True),
    "docker.io": ("index.docker.io/library/a", True),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_meant_for_a_repository(name: str) -> None:
    where, matches = ENTRIES[name]
    host, _, path = where.partition("/")
    config = json.dumps({"auths": {name: {"username": "u", "password": "p"}}}).encode()
    found = of_docker_config({".dockerconfigjson": config}, Repository(host, path))
    assert found == (Credentials("u", "p") if matches else None)


def test_the_longest_entry_wins() -> None:
    config = {"auths": {"r.example": {"username": "u"}, "r.example/a": {"auth": base64.b64encode(b"x:y:z").decode()}}}
    found = of_docker_config({".dockerconfigjson": json.dumps(config).encode()}, Repository("r.example", "a/b"))
    assert found == Credentials("x", "y:z")


def test_tokens_are_read() -> None:
    config = {"r.example": {"identitytoken": "i", "registrytoken": "r"}}
    found = of_docker_config({".dockercfg": json.dumps(config).encode()}, Repository("r.example", "a"))
    assert found == Credentials(refresh="i", bearer="r")


BROKEN: dict[str, Any] = {
    "no key": {"username": b"x"},
    "no JSON": {".dockerconfigjson": b"{"},
    "a list": {".dockerconfigjson": b'{"auths": []}'},
    "no object": {".dockerconfigjson": b'{"auths": {"r.example": "x"}}'},
    "no base64": {".dockerconfigjson": b'{"auths": {"r.example": {"auth": "###"}}}'},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_secret_is_named_for_what_it_is(case: str) -> None:
    with pytest.raises(ValueError, match="has "):
        of_docker_config(BROKEN[case], Repository("r.example", "a"))
