"""What a GitRepository gives a Kustomization: which revision, which files (SC-10, SC-11, KC-60)."""

from __future__ import annotations

from tests.parity.corpus.manifests import cm
from tests.parity.scenario import Scenario, Step, one, scenario

A = {"a.yaml": cm("a")}


def tagged(name: str, ref: dict[str, str]) -> Scenario:
    """Two commits with tags, and a third without."""
    return scenario(
        name,
        "SC-3",
        Step(
            push={"a.yaml": cm("a", {"value": "1"})},
            git=(
                ("tag", "v1.0.0"),
                ("commit", "--quiet", "--allow-empty", "--message", "more"),
                ("tag", "v1.1.0"),
                ("tag", "--annotate", "v2.0.0-rc.1", "--message", "soon"),
                ("push", "--quiet", "--tags", "origin-of-tests", "main"),
            ),
            source={"ref": ref},
        ),
    )


SCENARIOS = (
    one(
        "files-that-are-left-out-by-default",
        "SC-11",
        {
            **A,
            ".github/workflows/b.yaml": "on: push\n",
            ".sops.yaml": "creation_rules: []\n",
            ".gitlab-ci.yml": "job: 1\n",
            "picture.jpg": "x",
        },
    ),
    one(
        "a-sourceignore-file",
        "SC-10",
        {
            **A,
            ".sourceignore": "b.yaml\n/deep/*\n!/deep/d.yaml\n",
            "b.yaml": cm("b"),
            "deep/c.yaml": cm("c"),
            "deep/d.yaml": cm("d"),
            "sub/b.yaml": cm("e"),
        },
    ),
    one(
        "a-sourceignore-file-further-down",
        "SC-10",
        {
            **A,
            "sub/.sourceignore": "b.yaml\n/c.yaml\n",
            "b.yaml": cm("b"),
            "sub/b.yaml": cm("sb"),
            "sub/c.yaml": cm("sc"),
            "sub/deep/c.yaml": cm("dc"),
            "sub/deep/b.yaml": cm("db"),
        },
    ),
    one(
        "ignore-in-the-spec",
        "SC-10",
        {**A, "b.yaml": cm("b"), "keep/c.yaml": cm("c"), "d.yaml": cm("d"), ".sourceignore": "d.yaml\n"},
        source={"ignore": "/*\n!/keep\n!/a.yaml\n"},
    ),
    scenario("a-source-that-is-missing", "KC-60", Step(push=A, ends="False"), without_source=True),
    one("a-branch-that-is-missing", "KC-60", A, source={"ref": {"branch": "gone"}}, ends="False"),
    one("a-repository-that-is-missing", "KC-60", A, source={"url": "http://127.0.0.1:9/none.git"}, ends="False"),
    one("a-source-with-a-missing-secret", "KC-60", A, source={"secretRef": {"name": "gone"}}, ends="False"),
    scenario(
        "a-source-that-fails-after-a-success",
        "KC-60",
        Step(push=A),
        Step(source={"ref": {"branch": "gone"}}),
        Step(source={"ref": {"branch": "main"}}, push={"a.yaml": cm("a", {"value": "2"})}),
    ),
    scenario(
        "a-suspended-source-keeps-its-artifact",
        "SC-5",
        Step(push=A),
        Step(push={"a.yaml": cm("a", {"value": "2"})}, source={"suspend": True}),
    ),
    tagged("a-tag", {"tag": "v1.0.0"}),
    tagged("a-semver-range", {"semver": "1.x"}),
    tagged("a-semver-range-of-pre-releases", {"semver": ">=2.0.0-0"}),
    tagged("a-full-name", {"name": "refs/tags/v1.1.0"}),
    tagged("a-tag-that-is-missing", {"tag": "v9"}),
)
