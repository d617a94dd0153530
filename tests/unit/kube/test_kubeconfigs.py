"""Kubeconfigs come from anybody: what runs a program is refused, what is wrong is named."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fluxless.kube.connect import ConfigProblem, read_clusters
from fluxless.kube.kubeconfig import Files, KubeconfigProblem, parse


def _config(user: dict[str, Any], **cluster: Any) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": "https://example", **cluster}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


@pytest.mark.parametrize("user", [{"exec": {"command": "kubelogin"}}, {"auth-provider": {"name": "azure"}}])
def test_an_exec_plugin_is_refused_with_a_way_out(user: dict[str, Any]) -> None:
    with pytest.raises(KubeconfigProblem, match="runs an exec plugin") as caught:
        parse(_config(user), "of cluster 'a'")
    assert "resourceId" in str(caught.value)


def test_material_is_read_in_line_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    key = base64.b64encode(b"KEY").decode()
    text = _config({"client-key-data": key, "token": "t"}, **{"certificate-authority": "ca.pem"})
    found = parse(text, "x", files=Files(tmp_path))
    assert (found.ca, found.key, found.token, found.server) == (b"CA", b"KEY", "t", "https://example")
    assert "KEY" not in repr(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("[]", "no list of clusters"),
        (_config({}).replace('"x"', '"y"', 1), "no context"),
        (_config({}, **{"certificate-authority": "/nowhere/ca"}), "certificate-authority: /nowhere/ca cannot be read"),
        (_config({"client-key-data": "é"}), "client-key-data is not base64"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(KubeconfigProblem, match=words):
        parse(text, "of cluster 'a'", files=Files(Path()))


ODD = {
    "server": (
        "a",
        "//a",
        "a:6443",
        "ftp://a",
        "https://",
        "https://a:99999",
        "https://a:b",
        "https://[::1",
        "https://a..b",
    ),
    "proxy-url": ("a", "socks5://a:1080", "https://a:99999", "https://a\nb", "https://a\0b", f"https://{'a' * 64}"),
    "tls-server-name": ("a..b", "a\0b", "a\nb", "a" * 64),
    "token": ("a\n", "a\r\nImpersonate-User: b", "a\0b"),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in ODD.items() for value in values])
def test_what_cannot_be_sent_is_refused_by_the_name_of_its_field_and_not_shown(field: str, value: str) -> None:
    text = _config({"token": value}) if field == "token" else _config({}, **{field: value})
    with pytest.raises(KubeconfigProblem, match=f"kubeconfig of cluster 'a': {field} ") as caught:
        parse(text, "of cluster 'a'")
    assert "Impersonate" not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["https://a", "http://a:8080/x/", "https://[::1]:6443", "https://ü.example", "https://1.2.3.4."]
)
def test_addresses_that_can_be_called_are_taken(value: str) -> None:
    text = _config({}, **{"server": value, "proxy-url": value, "tls-server-name": "kubernetes.default"})
    found = parse(text, "of cluster 'a'")
    assert (found.server, found.proxy, found.server_name) == (value, value, "kubernetes.default")


GOOD = {"name": "prod", "kubeconfig": "/x"}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("", "the app setting is empty"),
        ("{", "not JSON"),
        ("{}", "must be a list"),
        (json.dumps([{"name": "No"}]), "'No' is no name"),
        (json.dumps([GOOD, GOOD]), "stands twice"),
        (json.dumps([{"name": "a"}]), "exactly one of"),
        (json.dumps([{**GOOD, "resourceId": "/subscriptions/x"}]), "exactly one of"),
        (json.dumps([{"name": "a", "resourceId": "/subscriptions/x"}]), "not that of a managed cluster"),
        (json.dumps([{**GOOD, "kubeConfig": "x"}]), "unknown field"),
        (json.dumps([{**GOOD, "mayOpen": "prod"}]), "mayOpen must be a list"),
        (json.dumps([{**GOOD, "mayOpen": ["prod"]}]), "'prod', which is no cluster with a resourceId"),
        (json.dumps([{**GOOD, "mayOpen": ["*"]}]), "'\\*', which is no cluster with a resourceId"),
    ],
)
def test_the_app_setting_is_checked_as_a_whole(setting: str, words: str) -> None:
    with pytest.raises(ConfigProblem, match=words):
        read_clusters(setting)


def test_clusters_keep_the_order_of_the_setting() -> None:
    assert list(read_clusters(json.dumps([{**GOOD, "name": name} for name in "cab"]))) == ["c", "a", "b"]
