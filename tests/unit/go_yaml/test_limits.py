"""What a hostile text may cost: refused with file and line, in bounded time, and never by a crash."""

import json
import time
from pathlib import Path

import pytest

from fluxless.go_yaml import ManifestProblem, apart, fields, load, load_all, read
from fluxless.limits import YAML_BYTES, YAML_DEPTH, YAML_NODES
from tests.unit.go_yaml.test_against_go import bomb


def _chain(levels: int, of: int) -> str:
    """Each anchor nests the one before by `of` levels more, and names it once."""
    lines = ["a0: &a0 x"]
    lines += [f"a{level}: &a{level} {'[' * of}*a{level - 1}{']' * of}" for level in range(1, levels + 1)]
    return "\n".join(lines)


HOSTILE = {
    "lists in lists": ("[" * 100_000, "nested deeper"),
    "mappings in mappings": ("{a: " * 100_000, "nested deeper"),
    "lists in lists by indentation": ("- " * 50_000, "nested deeper"),
    "mappings in mappings by indentation": ("".join(f"{' ' * level}a:\n" for level in range(1_000)), "nested deeper"),
    "depth out of aliases": (_chain(20, 20), "nested deeper"),
    "aliases of aliases": (bomb(10, 9), "excessive aliasing"),
    "two aliases each": (bomb(2, 64), "excessive aliasing"),
    "merges of merges": (bomb(10, 9, merge=True), "excessive aliasing"),
    "an anchor in itself": ("a: &a [*a]", "contains itself"),
    "an anchor in itself by a merge": ("a: &a {<<: *a}", "contains itself"),
    "values without end": (f"[{'1,' * (YAML_NODES + 1)}]", "too many values"),
    "values at the greatest depth": ("[" * (YAML_DEPTH - 1) + "1," * (YAML_NODES + 1), "too many values"),
    "keys that are lists": ("? " * 100_000, "cannot be a key"),
    "a long number": (f"a: !!int {'9' * 100_000}", "no !!int"),
    "half a surrogate": ("a: \ud800", "control characters"),
    "a kind of Python": ("a: !!python/object/apply:os.system [!!int x]", "no !!int"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_with_file_and_line(name: str) -> None:
    text, words = HOSTILE[name]
    began = time.process_time()
    with pytest.raises(ManifestProblem, match=words) as raised:
        load(text, "some.yaml")
    assert raised.value.failures[0].origin.startswith("some.yaml")
    assert time.process_time() - began < 20.0


def test_more_bytes_are_refused_unread() -> None:
    with pytest.raises(ManifestProblem, match="more than 32 MiB of YAML"):
        load(b"a" * (YAML_BYTES + 1), "some.yaml")


def test_documents_count_together() -> None:
    """Each of them is small enough by itself."""
    document = "---\na0: &a0 [" + "1," * 2_000 + "]\nb: [" + "*a0," * 90 + "]\n"
    with pytest.raises(ManifestProblem, match="too many values"):
        for _ in load_all(document * 10, "some.yaml"):
            pass


def test_what_passes_can_be_written_as_json() -> None:
    deep = load("[" * YAML_DEPTH + "]" * YAML_DEPTH, "some.yaml")
    assert len(json.dumps(deep)) == 2 * YAML_DEPTH


def test_places_of_a_result_share_nothing() -> None:
    found = load("a: &a {list: [1], map: {k: v}}\nb: *a\nc: {<<: *a}\n", "some.yaml")
    found["b"]["list"].append(2)
    found["c"]["map"]["k"] = "changed"
    assert found["a"] == {"list": [1], "map": {"k": "v"}}


def test_a_message_holds_no_value() -> None:
    texts = ("a: *hunter2", "a: !!int hunter2", "a: !!binary hunter2!", "a: [hunter2", '{a: "hunter2\\q"}')
    for text in texts:
        with pytest.raises(ManifestProblem) as raised:
            load(text, "some.yaml")
        assert "hunter2" not in raised.value.failures[0].text()


def test_a_key_that_stands_twice_is_an_error_on_request() -> None:
    assert load("a: 1\na: 2", "some.yaml") == {"a": 2}
    with pytest.raises(ManifestProblem, match="key 'a' stands twice"):
        load("a: 1\na: 2", "some.yaml", strict=True)
    assert load("x: &x {a: 1}\nb: {<<: *x, a: 2}", "some.yaml", strict=True)["b"] == {"a": 2}


def test_only_the_first_document_is_read() -> None:
    assert load("a: 1\n---\n[", "some.yaml") == {"a": 1}
    assert load("---\n---\na: 1\n", "some.yaml") is None
    assert list(load_all("---\n---\na: 1\n---\nb: 1\n", "some.yaml")) == [{"a": 1}, {"b": 1}]


async def test_a_long_text_is_read_off_the_event_loop() -> None:
    import threading

    here = threading.get_ident()

    def thread(text: str, name: str) -> bool:
        return threading.get_ident() == here

    assert await apart(thread, "a: 1", "x")
    assert not await apart(thread, "a: *b", "x")
    assert not await apart(thread, "a" * 100_000, "x")


def test_a_stream_is_read_field_by_field(tmp_path: Path) -> None:
    file = tmp_path / "index.yaml"
    file.write_text("apiVersion: v1\nentries:\n  a: [{version: 1.0.0}]\n  b: []\nother: {c: d}\n")
    with file.open("rb") as stream:
        assert list(fields(stream, "index.yaml", inside="entries")) == [
            (("apiVersion",), "v1"),
            (("entries", "a"), [{"version": "1.0.0"}]),
            (("entries", "b"), []),
            (("other",), {"c": "d"}),
        ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("entries: {a: &a [1], b: *a}", "aliases are not supported here"),
        (f"entries: {{a: {'[' * 1_000}", "nested deeper"),
        (f"entries: {{a: [{'1,' * (YAML_NODES + 1)}]}}", "too many values"),
        ("entries: {a: [", "did not find expected"),
    ],
)
def test_a_stream_is_bounded(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "index.yaml"
    file.write_text(text)
    with file.open("rb") as stream, pytest.raises(ManifestProblem, match=words):
        list(fields(stream, "index.yaml", inside="entries"))


def test_a_stream_is_bounded_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "YAML_STREAM_NODES", 1_000)
    file = tmp_path / "index.yaml"
    file.write_text("entries:\n" + "".join(f"  a{number}: [{'1,' * 90}]\n" for number in range(12)))
    with file.open("rb") as stream, pytest.raises(ManifestProblem, match="too many values"):
        for _ in fields(stream, "index.yaml", inside="entries"):
            pass
