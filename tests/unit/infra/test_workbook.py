"""The workbook asks Application Insights only for tables and columns that it has, and for words that the app writes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from fluxless.engine import telling
from tools.places import ROOT

FOLDER = ROOT / "infra" / "bicep"
WORKBOOK = json.loads((FOLDER / "workbook.json").read_text())
QUERIES = {item["name"]: item["content"] for item in WORKBOOK["items"] if item["type"] == 3}
EVERY = {"timestamp", "operation_Id", "itemType", "itemCount", "customDimensions", "cloud_RoleName", "_BilledSize"}
TABLES = {
    "traces": EVERY | {"message", "severityLevel"},
    "requests": EVERY | {"name", "duration", "success", "resultCode", "url"},
    "dependencies": EVERY | {"name", "duration", "success", "type", "target", "data"},
    "exceptions": EVERY | {"type", "outerMessage"},
}
"""Azure Monitor's tables of Application Insights, as far as they are of use here."""
WORDS = {
    *("by", "and", "or", "in", "has", "with", "desc", "asc", "kind", "regex", "union", "parse", "where", "summarize"),
    *("extend", "order", "take", "project", "startswith", "bin", "count", "countif", "sum", "max", "min", "percentile"),
    *("dcount", "take_any", "tostring", "totimespan", "true", "false", "string", "real", "pair_delimiter"),
    *("kv_delimiter", "quote", "message", "parse-kv", "as"),
}


def unknown(query: str) -> set[str]:
    """Names in a query that are no column of its tables, and that it has not made itself."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', "", query)
    tables = set(re.findall(r"\w+", text.partition("|")[0])) - {"union"}
    columns = set.union(*(TABLES.get(table, set()) for table in tables)) if tables else set()
    made = set(re.findall(r"(\w+) =(?!=)", text)) | set(re.findall(r"(\w+): \w+", text))
    fields = set(re.findall(r"customDimensions\.(\w+)", text))
    names = set(re.findall(r"[A-Za-z_][\w-]*", re.sub(r"\b\d+\w*", "", text)))
    missing = names - WORDS - columns - made - fields - tables
    return missing | {table for table in tables if table not in TABLES} | fields - set(telling.FIELDS) - {"applied"}


def test_every_part_has_a_title_and_a_query() -> None:
    assert len(QUERIES) >= 8
    for name, content in QUERIES.items():
        assert content["title"] == name
        assert content["timeContextFromParameter"] == "TimeRange"
        assert content["resourceType"] == "microsoft.insights/components"
    (time,) = (item for item in WORKBOOK["items"] if item["type"] == 9)
    assert time["content"]["parameters"][0]["name"] == "TimeRange"


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_what_is_there(name: str) -> None:
    assert unknown(QUERIES[name]["query"]) == set()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("trace | take 5", {"trace"}),
        ("traces | where mesage has 'x' | summarize count()", {"mesage", "x"}),
        ("dependencies | extend r = tostring(customDimensions.revison)", {"revison"}),
        ("requests | summarize sum(itemCount) by nam", {"nam"}),
    ],
)
def test_mistakes_are_found(query: str, found: set[str]) -> None:
    assert unknown(query) == found


@pytest.mark.parametrize("name", QUERIES)
def test_words_that_are_looked_for_are_written(name: str) -> None:
    code = "".join(file.read_text() for folder in ("functions", "fluxless") for file in (ROOT / folder).rglob("*.py"))
    query = QUERIES[name]["query"]
    columns = set(re.findall(r"(\w+): (?:string|real)", query)) - {"alarm", "activity"}
    assert columns <= set(telling.FIELDS)
    for word in re.findall(r'(?:has|startswith) "([^"]+)"', query):
        if word == "MaxDequeueCount":
            continue  # the host's own word
        assert word.rstrip() in code or word.rstrip("=") in telling.FIELDS, word


def test_the_module_loads_the_file() -> None:
    module = (FOLDER / "modules" / "workbook.bicep").read_text()
    (path,) = re.findall(r"loadTextContent\('([^']+)'\)", module)
    found: Any = json.loads((FOLDER / "modules" / path).read_text())
    assert found == WORKBOOK
