"""Queue triggers over a real Azurite, poison queue included; entities that are signalled and called."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

from tests.unit.localhost.hosting import APPS, LocalHost, until


def _queue(connection: str, name: str) -> QueueClient:
    encode, decode = TextBase64EncodePolicy(), TextBase64DecodePolicy()
    return QueueClient.from_connection_string(
        connection, name, message_encode_policy=encode, message_decode_policy=decode
    )


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    return tmp_path / "seen"


@pytest.fixture
def name() -> str:
    return f"q-{uuid4().hex[:8]}"


@pytest.fixture
def host(tmp_path: Path, azurite: str, seen: Path, name: str) -> Iterator[LocalHost]:
    env = {"TEST_QUEUE": name, "TEST_STORAGE": azurite, "TEST_SEEN": str(seen)}
    with LocalHost(APPS / "queue", tmp_path / "state", env=env) as running:
        yield running


def _lines(seen: Path) -> list[str]:
    return seen.read_text().splitlines() if seen.exists() else []


def test_a_message_is_handled_once_and_a_bad_one_ends_in_the_poison_queue(
    host: LocalHost, azurite: str, seen: Path, name: str
) -> None:
    queue = _queue(azurite, name)
    until(lambda: _exists(queue) or None, "the queue to be made", 15)
    queue.send_message("good")
    queue.send_message("bad")
    until(lambda: len(_lines(seen)) == 4 or None, "one good and three bad deliveries", 30)
    assert sorted(_lines(seen)) == ["bad 1", "bad 2", "bad 3", "good 1"]
    poison = _queue(azurite, f"{name}-poison")
    found = until(lambda: (_exists(poison) and list(poison.receive_messages())) or None, "the poison queue", 15)
    assert [message.content for message in found] == ["bad"]
    assert list(queue.peek_messages()) == []


def _exists(queue: QueueClient) -> bool:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        queue.get_queue_properties()
    except ResourceNotFoundError:
        return False
    return True


def test_an_entity_keeps_its_state_between_signals_and_calls(host: LocalHost) -> None:
    for instance, total in (("first", 5), ("second", 10)):
        host.begin("count", instance)
        assert host.ended(instance)["output"] == total
