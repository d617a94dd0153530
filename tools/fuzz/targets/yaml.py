"""YAML of repositories and objects: `fluxless.go_yaml`."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from fluxless.go_yaml import dump, load, load_all
from tools.fuzz import odd

_SOUND = [
    b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {x: 'y'}}\ndata:\n  a: |\n    t\n  b: >-\n    m\n",
    b"a: &x [1, 2.5, 0x1F, 0o17, 1_000, .inf, 12:30:45, 2026-01-01]\nb: *x\n---\n? complex\n: - !!str 1\n",
    b"base: &base {a: 1}\nmerged:\n  <<: *base\n  <<: [*base, {b: 2}]\n...\n%YAML 1.1\n---\nx: ~\n",
]
_WORDS = [
    *(
        b"!!binary ",
        b"!!timestamp ",
        b"!!int ",
        b"!!float ",
        b"!!bool ",
        b"!!null ",
        b"!!set ",
        b"!!omap ",
        b"!!pairs ",
    ),
    *(b"!!python/object:os.system ", b"&x ", b"*x", b"*y", b"<<: ", b"? ", b"---\n", b"...\n", b"\t", b"\0", b"\x85"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"[", b"]", b"{", b"}", b'"\\x', b"'", b"| \n", b">9\n", b"0b"),
    *(b"=", b"!<tag:yaml.org,2002:map> ", b"%TAG ! tag:x,1:\n", b"[" * 2000, b"{a: " * 500, b"- " * 800, b"9" * 5000),
]


def inputs(random: Random) -> bytes:
    """A document that is almost sound, or a bomb of aliases."""
    if random.random() < 0.05:
        return _bomb(random.randint(5, 40), random.randint(2, 12))
    if random.random() < 0.2:
        return odd.as_json(odd.changed(random, {"a": {"b": [1, "x", None]}}))
    return odd.bent(random, random.choice(_SOUND), _WORDS)


def _bomb(levels: int, width: int) -> bytes:
    lines = ["a0: &a0 [x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines).encode()


def judge(data: bytes, folder: Path) -> object:
    """Reads all documents; what is read is written as a text that says the same."""
    found = list(load_all(data, "input"))
    for one in found:
        again = json.dumps(load(dump(one), "our own text"), sort_keys=True)
        assert again == json.dumps(one, sort_keys=True), "written as something else"
    return len(found)
