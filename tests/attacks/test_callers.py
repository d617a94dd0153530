"""Anonymous callers cost little: no memory, one orchestration however often they call, and no line in the log."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from fluxless import limits
from fluxless.api.failure import Failure, FailureClass, Problem
from fluxless.artifacts.directory import DirectoryStore
from fluxless.engine.doors import Answer
from fluxless.engine.index import Index, keep
from fluxless.engine.intake import Intake
from fluxless.engine.schedule import Schedule
from fluxless.kube.client import Cluster
from fluxless.notification import oidc
from fluxless.notification.signatures import Refused
from fluxless.reconcile.world import World
from functions import names, wake
from tests.unit.localhost.hosting import APPS, LocalHost

ROOT = Path(__file__).parents[2]

# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHost]:
    limit = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "100000"}
    with LocalHost(APPS / "web", tmp_path_factory.mktemp("web"), env=limit) as running:
        yield running


def _post(host: LocalHost, head: str, body: bytes) -> bytes:
    parts = urlsplit(host.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        start = f"POST /api/open/a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n\r\n"
        connection.sendall(start.encode() + body)
        return connection.recv(100)


def test_a_large_body_is_refused_before_it_is_sent(host: LocalHost) -> None:
    assert b" 413 " in _post(host, "Content-Length: 100001", b"")


def test_a_body_of_unknown_size_is_read_up_to_the_limit(host: LocalHost) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    assert b" 413 " in _post(host, "Transfer-Encoding: chunked", chunk * 8)


def test_a_body_within_the_limit_is_taken(host: LocalHost) -> None:
    assert b" 200 " in _post(host, "Content-Length: 5", b"hello")


@pytest.mark.parametrize("file", ["infra/bicep/main.bicep", "infra/selfhost/aks/settings.yaml"])
def test_the_host_is_told_of_the_limit(file: str) -> None:
    found = re.search(r"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: ['\"](\d+)['\"]", (ROOT / file).read_text())
    assert found is not None
    assert int(found[1]) == limits.CALLER_BODY


def test_make_up_tells_it_as_well() -> None:
    assert '"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": str(limits.CALLER_BODY)' in (ROOT / "tools/environment.py").read_text()


# -- a flood while a cluster is away ----------------------------------------------------------------------------------


class Client:
    """What Durable does: an instance that runs cannot be started again."""

    def __init__(self) -> None:
        self.running: dict[str, Any] = {}
        self.asked = 0

    async def get_status(self, instance: str) -> Any:
        await asyncio.sleep(0)
        if instance not in self.running:
            return None
        return SimpleNamespace(runtime_status=SimpleNamespace(value="Running"))

    async def start_new(self, name: str, instance: str, message: Any) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if instance in self.running:
            raise Exception(f"An Orchestration instance with the ID {instance} already exists.")
        self.running[instance] = message


def _intake(folder: Path) -> Intake:
    async def away(name: str) -> Cluster:
        raise Problem(Failure(FailureClass.INTERNAL, "no answer"))

    store = DirectoryStore(folder)

    return Intake(lambda: ["one", "two"], away, Index(store, time.time), lambda: None)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("numbered", [True, False])
async def test_a_replay_flood_makes_one_announcement_for_each_cluster(numbered: bool, tmp_path: Path) -> None:
    intake, client = _intake(tmp_path), Client()

    async def deliver(number: int) -> None:
        answer = Answer(202, "accepted", ("github.com/acme/fleet", "x"), f"d{number}" if numbered else "")
        await wake.pass_on(client, await intake.accept(answer))

    await asyncio.gather(*(deliver(number) for number in range(200)))
    for number in range(200, 210):
        await deliver(number)
    assert len(client.running) == 2
    assert client.asked < 420
    assert {message["cluster"] for message in client.running.values()} == {"one", "two"}


async def test_two_repositories_are_two_announcements(tmp_path: Path) -> None:
    intake, client = _intake(tmp_path), Client()
    for key in ("github.com/acme/fleet", "github.com/acme/other"):
        await wake.pass_on(client, await intake.accept(Answer(202, "accepted", (key,))))
    assert len(client.running) == 4


def test_the_order_of_repositories_makes_no_other_announcement() -> None:
    from fluxless.engine.intake import Announcement

    one = Announcement("c", ("a", "b")).to_json()
    assert names.announce_instance("c", one) == names.announce_instance("c", dict(reversed(one.items())))
    assert len(names.announce_instance("c" * 63, {"keys": ["x" * 5000]})) <= names.INSTANCE_LIMIT


async def test_anybody_who_guesses_paths_of_receivers_asks_no_cluster(tmp_path: Path) -> None:
    """Once a cluster has been planned; and the storage account is asked a few times, however many come."""
    store, lists = DirectoryStore(tmp_path), 0
    for name in ("one", "two"):
        await keep(store, name, World({}, 0.0), Schedule(), anew=False)
    listed = store.list

    def counted(prefix: str) -> Any:
        nonlocal lists
        lists += 1
        return listed(prefix)

    async def refuse(name: str) -> Cluster:
        raise AssertionError(name)

    store.list = counted  # type: ignore[method-assign]
    intake = Intake(lambda: ["one", "two"], refuse, Index(store, time.time), lambda: None)  # type: ignore[arg-type,return-value]
    answers = await asyncio.gather(*(intake.hook(f"/hook/{number:064x}", {}, b"") for number in range(500)))
    assert {answer.status for answer in answers} == {404}
    assert lists <= 3


# -- the log ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the app's log holds, as a handler of the host writes it."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("fluxless")
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)


FORGED = "x\nERROR alert=heartbeat-missing seconds=999\r\x1b[2J\u2028\x85ERROR ALERT=sync-stuck"


def _innocent(text: str) -> None:
    assert len(text.splitlines()) == 1
    assert "alert=" not in text.lower()
    assert "\x1b" not in text


def _token(issuer: str) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"Bearer {part({'alg': 'none', 'kid': FORGED})}.{part({'iss': issuer})}."


async def test_the_issuer_of_an_unsigned_token_writes_no_line(lines: io.StringIO) -> None:
    with pytest.raises(Refused) as caught:
        await oidc.verified(_token(FORGED), "audience", "https://issuer.example")
    logging.getLogger("fluxless.functions").warning("event grid delivery refused: %s", caught.value)
    assert "event grid delivery refused: no oidcProvider" in lines.getvalue()
    _innocent(lines.getvalue())


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("cluster=%s not told", (FORGED,)),
        ("%r", (FORGED,)),
        ("%(name)s", ({"name": FORGED},)),
        ("seconds=%.0f %s", (3.0, FORGED.encode())),
        ("%s", (Problem(Failure(FailureClass.INTERNAL, FORGED)),)),
        ("a preformatted line\n%s", ("x",)),
    ],
)
def test_no_argument_writes_a_line(lines: io.StringIO, text: str, arguments: tuple[Any, ...]) -> None:
    logging.getLogger("fluxless.functions").warning(text, *arguments)
    _innocent(lines.getvalue())


def test_no_traceback_writes_a_line_of_ours(lines: io.StringIO) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("fluxless.functions").exception("cluster=%s activity=plan failed", "dev")
    first, *rest = lines.getvalue().splitlines()
    assert first == "ERROR cluster=dev activity=plan failed"
    assert any("ValueError" in line for line in rest)
    assert all(line.startswith("  | ") for line in rest)
    assert "alert=" not in lines.getvalue().lower()


def test_our_own_alarms_are_whole(lines: io.StringIO) -> None:
    logging.getLogger("fluxless.engine").error("cluster=%s alert=cluster-unreachable %s", "dev", FORGED)
    assert lines.getvalue().startswith("ERROR cluster=dev alert=cluster-unreachable x\\nERROR alert:")
    assert lines.getvalue().lower().count("alert=") == 1


def test_the_record_of_a_run_raises_no_alarm(lines: io.StringIO) -> None:
    from fluxless.engine import telling

    logging.getLogger("fluxless.runs").warning("%s", telling.line({"cluster": "dev", "message": FORGED}))
    _innocent(lines.getvalue())


async def test_issuers_that_objects_name_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has up to a MiB of keys, and whoever writes Receivers names ever new ones."""
    monkeypatch.setattr(limits, "ISSUERS", 3)
    monkeypatch.setattr(oidc, "_issuers", OrderedDict())
    asked = ["http://127.0.0.1:9/often", *(f"http://127.0.0.1:9/{number}" for number in range(5))]
    for issuer in asked:
        for one in (issuer, asked[0]):
            with pytest.raises(Refused, match="failed to initialize OIDC provider"):
                await oidc.verified(_token(one), "audience", one)
    assert [url for _, url in oidc._issuers] == [*asked[-2:], asked[0]]
