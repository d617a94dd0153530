"""One repository has one key, however its address is spelt."""

import pytest

from fluxless.git.urls import normalise

SAME = [
    "https://github.com/acme/fleet",
    "https://github.com/acme/fleet.git",
    "https://GitHub.com/Acme/Fleet.git/",
    "https://user:token@github.com/acme/fleet",
    "https://github.com:443/acme/fleet.git",
    "http://github.com/acme/fleet",
    "ssh://git@github.com/acme/fleet.git",
    "ssh://git@github.com:22/acme/fleet",
    "git@github.com:acme/fleet.git",
    "github.com:acme/fleet",
]


@pytest.mark.parametrize("url", SAME)
def test_every_spelling_has_the_same_key(url: str) -> None:
    assert normalise(url) == "github.com/acme/fleet"


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/fleets",
        "https://github.com/other/fleet",
        "https://git.example/acme/fleet",
        "https://github.com:8443/acme/fleet",
        "http://[",
    ],
)
def test_other_repositories_have_other_keys(url: str) -> None:
    assert normalise(url) != "github.com/acme/fleet"
