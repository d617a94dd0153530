"""What cites a row of docs/flux-behaviour can be looked up there: each id has one row, and nothing points elsewhere."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs/flux-behaviour"
PLACES = ("fluxless", "functions", "tools", "tests", "docs", "infra", "README.md", "CHANGELOG.md", "function_app.py")
KINDS = {".bicep", ".go", ".json", ".md", ".py", ".sh", ".toml", ".ts", ".txt", ".yaml", ".yml"}
ID = re.compile(r"(?<![\w.-])([A-Z]{2,4})-(\d+)(?:\.\.(\d+))?(?![\w])")
ROW = re.compile(r'^\| <a id="([A-Z]+-\d+)"></a>\1 \| \S')
POINTER = re.compile(
    r"\bdesign,? (?:section )?\d|user-needs|azure-facts|real-host|flux-features|\breference/|(?<![\w/])style\.md"
)
"""How pages that a reader does not have were once referred to."""
LINK = re.compile(r"flux-behaviour/([\w-]+\.md)#([\w-]+)")
OTHERS = {"OAEP", "RFC", "SHA", "UTF"}
"""What looks like a prefix and is a standard: UTF-8, SHA-256."""


def ids(text: str) -> Iterator[str]:
    """The ids that a text cites; of a range its ends."""
    for prefix, first, last in ID.findall(text):
        if prefix not in OTHERS:
            yield f"{prefix}-{first}"
            if last:
                yield f"{prefix}-{last}"


def unknown(text: str, rows: Iterable[str]) -> list[str]:
    """What cannot be looked up."""
    return sorted(set(ids(text)) - set(rows))


def _rows() -> list[str]:
    lines = [line for page in sorted(PAGES.glob("*.md")) for line in page.read_text().splitlines()]
    return [row[1] for line in lines if (row := ROW.match(line))]


def _files() -> Iterator[Path]:
    for place in PLACES:
        path = ROOT / place
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            ours = file.suffix in KINDS and not {"node_modules", "__pycache__"} & set(file.parts)
            if ours and file.is_file() and file != Path(__file__):
                yield file


def test_every_id_has_one_row() -> None:
    rows = _rows()
    assert [row for row, times in Counter(rows).items() if times > 1] == []
    lost = {file.relative_to(ROOT).as_posix(): unknown(file.read_text(), rows) for file in _files()}
    assert {file: missing for file, missing in lost.items() if missing} == {}


def test_nothing_points_to_pages_outside_the_repository() -> None:
    lines = {
        f"{file.relative_to(ROOT)}: {line}"
        for file in _files()
        for line in file.read_text().splitlines()
        if POINTER.search(line)
    }
    assert lines == set()


def test_the_index_has_a_page_for_every_prefix() -> None:
    lines = (PAGES / "README.md").read_text().splitlines()
    listed = {prefix for line in lines if "](" in line for prefix in re.findall(r"^\| ([A-Z, ]+) \|", line)}
    prefixes = {prefix for entry in listed for prefix in entry.split(", ")}
    assert prefixes == {row.partition("-")[0] for row in _rows()}


def test_every_link_to_a_row_leads_to_its_page() -> None:
    wrong = []
    for file in _files():
        for page, anchor in LINK.findall(file.read_text()):
            target = PAGES / page
            if not target.is_file() or f'<a id="{anchor}"></a>' not in target.read_text():
                wrong.append(f"{file.relative_to(ROOT)}: {page}#{anchor}")
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("(KC-62, KC-1..3)", []),
        ("obeys KC-999", ["KC-999"]),
        ("KC-1..999", ["KC-999"]),
        ("XY-1 is of no page", ["XY-1"]),
        ("UTF-8, RSA-OAEP-256, SHA-256", []),
        ("KC-62-same-source", []),
    ],
)
def test_an_id_without_a_row_is_found(text: str, missing: list[str]) -> None:
    assert unknown(text, _rows()) == missing


@pytest.mark.parametrize(
    "text", ["(design, section 3)", "(KC-90, design section 6)", "(user-needs 2.1)", "(azure-facts C)"]
)
def test_a_pointer_outside_is_found(text: str) -> None:
    assert POINTER.search(text)
