"""Helm's records and Flux's digests of them (HR-42..48, HR-66, HR-67).

`left_by_flux.json` is what the real helm-controller 1.6.4 left of a chart and a HelmRelease of ours, after an install
and an upgrade.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from fluxless.helm import release as releases
from fluxless.helm.post import observed
from fluxless.helm.release import UnreadableRecord, failed_record, latest, read
from fluxless.helm.state import State, Wanted, determine
from fluxless.helm.values import digest

LEFT: dict[str, Any] = json.loads(Path(__file__).with_name("left_by_flux.json").read_text())
STATUS: dict[str, Any] = LEFT["release"]["status"]
RECORDS = {record.version: record for record in map(read, LEFT["records"])}


def test_snapshots_are_those_of_flux() -> None:
    assert [entry["version"] for entry in STATUS["history"]] == [2, 1]
    for entry in STATUS["history"]:
        assert RECORDS[entry["version"]].snapshot(entry.get("action", "")) == entry


def test_digests_of_the_spec_are_those_of_flux() -> None:
    assert observed(LEFT["release"]["spec"]) == {
        "observedPostRenderersDigest": STATUS["observedPostRenderersDigest"],
        "observedCommonMetadataDigest": STATUS["observedCommonMetadataDigest"],
    }
    assert digest(LEFT["release"]["spec"]["values"]) == STATUS["lastAttemptedConfigDigest"]


def test_what_flux_left_is_in_sync() -> None:
    wanted = Wanted("web", "1.0.0", LEFT["release"]["spec"]["values"])
    assert determine(latest(RECORDS.values()), wanted, STATUS["history"]).state is State.IN_SYNC


def test_a_record_that_is_marked_as_failed_is_read_so() -> None:
    (secret,) = (one for one in LEFT["records"] if one["metadata"]["name"].endswith(".v2"))
    body = failed_record(read(secret), "died")
    found = read({**secret, "data": body["data"]})
    assert (found.status, found.description, found.manifest) == ("failed", "died", RECORDS[2].manifest)
    assert body["metadata"]["labels"] == {"status": "failed"}


@pytest.mark.parametrize(
    "data", [{}, {"release": ""}, {"release": "????"}, {"release": "e30="}, {"release": "ZTMwPQ=="}]
)
def test_what_is_no_record_is_refused_by_name(data: dict[str, str]) -> None:
    with pytest.raises(UnreadableRecord, match="Secret 'x' is no record of a release"):
        read({"metadata": {"name": "x"}, "data": data})


def test_a_record_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "MAX_RECORD", 100)
    with pytest.raises(UnreadableRecord, match="unpacks to more than"):
        read(LEFT["records"][0])
