"""Sources on their own: images, charts, buckets, and what a GitRepository leaves out or adds (OR, HRP, CH, BK, GR)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.parity.corpus.manifests import secret, yaml
from tests.parity.scenario import Obj, Scenario, Step, scenario

REPOSITORY = {"url": "@charts@"}
REGISTRY = {"type": "oci", "url": "oci://@registry@/charts", "insecure": True}
FROM_REPOSITORY = {"kind": "HelmRepository", "name": "repo"}
FROM_GIT = {"kind": "GitRepository", "name": "repo"}
GIT = {"url": "@git@", "ref": {"branch": "main"}}
S3 = secret("s3", {"accesskey": "access", "secretkey": "secret-key"})
BUCKET = {"endpoint": "@s3@", "bucketName": "parity", "insecure": True, "secretRef": {"name": "s3"}}
CHART = {
    "chart/Chart.yaml": "apiVersion: v2\nname: local\nversion: 0.1.0\n",
    "chart/values.yaml": "a: 1\nb: {c: 2}\n",
    "chart/prod.yaml": "b: {d: 3}\n",
    "chart/templates/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
}


def oci(name: str, rows: str, *specs: Mapping[str, Any], put: tuple[Obj, ...] = (), ends: str = "True") -> Scenario:
    """An OCIRepository, which changes from step to step."""
    base = {"url": "oci://@registry@/app", "insecure": True}
    steps = [
        Step(put=put if not number else (), sources={"OCIRepository/app": {**base, **spec}}, ends=ends)
        for number, spec in enumerate(specs)
    ]
    return scenario(name, rows, *steps)


def signed(name: str, tag: str, verify: Mapping[str, Any], data: Mapping[str, str], *, ends: str = "True") -> Scenario:
    """An OCIRepository that somebody has to have signed; `data` is that of the Secret `trust`."""
    spec = {"url": "oci://@registry@/signed", "ref": {"tag": tag}, "verify": verify}
    return oci(name, "OR-5", spec, put=(secret("trust", data),), ends=ends)


def chart(
    name: str,
    rows: str,
    spec: Mapping[str, Any],
    repository: Mapping[str, Any] = REPOSITORY,
    *,
    ends: str = "True",
    put: tuple[Obj, ...] = (),
) -> Scenario:
    """A HelmChart of a HelmRepository."""
    sources = {
        "HelmRepository/repo": repository,
        "HelmChart/chart": {"sourceRef": FROM_REPOSITORY, "chart": "web", **spec},
    }
    return scenario(name, rows, Step(sources=sources, ends=ends, put=put))


def local(
    name: str, rows: str, spec: Mapping[str, Any], push: Mapping[str, str] = CHART, *, ends: str = "True"
) -> Scenario:
    """A HelmChart of a GitRepository."""
    sources = {"GitRepository/repo": GIT, "HelmChart/chart": {"sourceRef": FROM_GIT, "chart": "./chart", **spec}}
    return scenario(name, rows, Step(push=push, sources=sources, ends=ends))


def needing(name: str, version: str, repository: str) -> str:
    """The Chart.yaml of one that needs another."""
    needs = [{"name": name, "version": version, "repository": repository}]
    return yaml({"apiVersion": "v2", "name": "local", "version": "0.1.0", "dependencies": needs})


def bucket(
    name: str, rows: str, spec: Mapping[str, Any], *, put: tuple[Obj, ...] = (S3,), ends: str = "True"
) -> Scenario:
    """A Bucket."""
    return scenario(name, rows, Step(put=put, sources={"Bucket/bucket": {**BUCKET, **spec}}, ends=ends))


def git(name: str, rows: str, spec: Mapping[str, Any], push: Mapping[str, str], *, ends: str = "True") -> Scenario:
    """A GitRepository alone."""
    return scenario(name, rows, Step(push=push, sources={"GitRepository/repo": {**GIT, **spec}}, ends=ends))


KEYED = {"provider": "cosign", "secretRef": {"name": "trust"}}
KEYLESS = {"provider": "cosign", "trustedRootSecretRef": {"name": "trust"}}
NOTATION = {"provider": "notation", "secretRef": {"name": "trust"}}
MINE = [{"issuer": "^https://issuer.example.org$", "subject": "^https://ci.example.org/team/.*$"}]
OTHERS = [{"issuer": "^https://issuer.example.org$", "subject": "^https://ci.example.org/others/.*$"}]
TREE = {"a.yaml": "a: 1\n", "one/b.yaml": "b: 1\n", "two/c.yaml": "c: 1\n", "two/deep/d.yaml": "d: 1\n"}

SCENARIOS = (
    oci("an-image", "OR-2", {}),
    oci("an-image-by-tag", "OR-2", {"ref": {"tag": "v1.0.0"}}, {"ref": {"tag": "v1.1.0"}}),
    oci("an-image-by-digest", "OR-2", {"ref": {"digest": "@digest@", "tag": "v1.1.0"}}),
    oci("an-image-by-semver", "OR-2", {"ref": {"semver": "1.x"}}),
    oci("an-image-by-semver-with-pre-releases", "OR-2", {"ref": {"semver": ">=1.0.0-0"}}),
    oci("an-image-by-semver-and-filter", "OR-2", {"ref": {"semver": ">=1.0.0-0", "semverFilter": ".*-rc.*"}}),
    oci("an-image-whose-semver-nothing-matches", "OR-2", {"ref": {"semver": "9.x"}}, ends="False"),
    oci("an-image-whose-semver-is-none", "OR-2", {"ref": {"semver": "one"}}, ends="False"),
    oci("an-image-whose-filter-is-none", "OR-2", {"ref": {"semver": "1.x", "semverFilter": "("}}, ends="False"),
    oci("an-image-tag-that-is-missing", "OR-2", {"ref": {"tag": "gone"}}, ends="False"),
    oci("an-image-digest-that-is-missing", "OR-2", {"ref": {"digest": f"sha256:{'0' * 64}"}}, ends="False"),
    oci("an-image-repository-that-is-missing", "OR-1", {"url": "oci://@registry@/gone"}, ends="False"),
    oci("an-image-registry-that-is-away", "OR-1", {"url": "oci://127.0.0.1:9/app"}, ends="False"),
    oci("an-image-url-with-a-tag", "OR-1", {"url": "oci://@registry@/app:v1.0.0"}, ends="False"),
    oci(
        "an-image-layer-by-type",
        "OR-3",
        {"url": "oci://@registry@/layers", "layerSelector": {"mediaType": "application/vnd.example.other.v1.tar+gzip"}},
    ),
    oci("an-image-layer-as-it-is", "OR-3", {"layerSelector": {"operation": "copy"}}),
    oci("an-image-layer-that-is-missing", "OR-3", {"layerSelector": {"mediaType": "text/html"}}, ends="False"),
    oci(
        "an-image-layer-that-is-no-archive",
        "OR-3",
        {"url": "oci://@registry@/layers", "layerSelector": {"mediaType": "text/plain"}},
        ends="False",
    ),
    oci(
        "an-image-with-ignore-in-the-spec", "OR-8", {"ignore": "*.md\n/deep/*\n!/deep/b.yaml\n"}, {"ignore": "*.txt\n"}
    ),
    oci("an-image-with-a-sourceignore-file", "OR-8", {"url": "oci://@registry@/ignoring"}),
    oci("an-image-with-a-missing-secret", "OR-4", {"secretRef": {"name": "gone"}}, ends="False"),
    oci("an-image-with-a-missing-certificate", "OR-7", {"certSecretRef": {"name": "gone"}}, ends="False"),
    oci("an-image-with-a-missing-account", "OR-4", {"serviceAccountName": "gone"}, ends="False"),
    oci("an-image-with-a-missing-proxy", "OR-7", {"proxySecretRef": {"name": "gone"}}, ends="False"),
    oci(
        "an-image-that-fails-after-a-success",
        "OR-23",
        {"ref": {"tag": "v1.0.0"}},
        {"ref": {"tag": "v1.0.0"}, "layerSelector": {"mediaType": "text/html"}},
        ends="",
    ),
    signed("an-image-with-a-signature", "key", KEYED, {"cosign.pub": "@key@"}),
    signed("an-image-with-one-of-two-signatures", "key", KEYED, {"a.pub": "@other-key@", "b.pub": "@key@"}),
    signed("an-image-with-another-signature", "key", KEYED, {"cosign.pub": "@other-key@"}, ends="False"),
    signed("an-image-without-a-signature", "unsigned", KEYED, {"cosign.pub": "@key@"}, ends="False"),
    signed("an-image-with-a-bundle", "key-bundle", KEYED, {"cosign.pub": "@key@"}),
    signed("an-image-with-another-bundle", "key-bundle", KEYED, {"cosign.pub": "@other-key@"}, ends="False"),
    signed(
        "an-image-signed-without-a-key",
        "keyless",
        {**KEYLESS, "matchOIDCIdentity": MINE},
        {"trusted_root.json": "@root@"},
    ),
    signed("an-image-signed-without-a-key-by-anybody", "keyless", KEYLESS, {"trusted_root.json": "@root@"}),
    signed(
        "an-image-signed-without-a-key-by-others",
        "keyless",
        {**KEYLESS, "matchOIDCIdentity": OTHERS},
        {"trusted_root.json": "@root@"},
        ends="False",
    ),
    signed(
        "an-image-signed-without-a-key-of-another-root",
        "keyless",
        {**KEYLESS, "matchOIDCIdentity": MINE},
        {"trusted_root.json": "@other-root@"},
        ends="False",
    ),
    signed(
        "an-image-with-a-bundle-without-a-key",
        "keyless-bundle",
        {**KEYLESS, "matchOIDCIdentity": MINE},
        {"trusted_root.json": "@root@"},
    ),
    signed(
        "an-image-with-a-bundle-without-a-key-by-others",
        "keyless-bundle",
        {**KEYLESS, "matchOIDCIdentity": OTHERS},
        {"trusted_root.json": "@root@"},
        ends="False",
    ),
    signed(
        "an-image-without-a-signature-by-anybody", "unsigned", KEYLESS, {"trusted_root.json": "@root@"}, ends="False"
    ),
    signed("an-image-with-a-broken-root", "keyless", KEYLESS, {"trusted_root.json": "{}"}, ends="False"),
    signed("an-image-without-a-root", "keyless", KEYLESS, {"root.json": "@root@"}, ends="False"),
    signed(
        "an-image-signed-by-notation",
        "notation",
        NOTATION,
        {"trustpolicy.json": "@policy-strict@", "ca.crt": "@certificate@"},
    ),
    signed(
        "an-image-signed-by-another-notary",
        "notation",
        NOTATION,
        {"trustpolicy.json": "@policy-strict@", "ca.crt": "@other-certificate@"},
        ends="False",
    ),
    signed(
        "an-image-without-a-notary",
        "unsigned",
        NOTATION,
        {"trustpolicy.json": "@policy-strict@", "ca.crt": "@certificate@"},
        ends="False",
    ),
    signed(
        "an-image-whose-notary-is-only-logged",
        "notation",
        NOTATION,
        {"trustpolicy.json": "@policy-audit@", "ca.crt": "@other-certificate@"},
    ),
    signed(
        "an-image-whose-notary-is-skipped",
        "unsigned",
        NOTATION,
        {"trustpolicy.json": "@policy-skip@", "ca.crt": "@certificate@"},
    ),
    signed("an-image-without-a-policy", "notation", NOTATION, {"ca.crt": "@certificate@"}, ends="False"),
    signed(
        "an-image-without-certificates", "notation", NOTATION, {"trustpolicy.json": "@policy-strict@"}, ends="False"
    ),
    oci(
        "an-image-that-needs-no-signature-any-more",
        "OR-23",
        {"url": "oci://@registry@/signed", "ref": {"tag": "key"}, "verify": KEYED},
        {"url": "oci://@registry@/signed", "ref": {"tag": "key"}},
        put=(secret("trust", {"cosign.pub": "@key@"}),),
    ),
    scenario("a-helm-repository", "HRP-1", Step(sources={"HelmRepository/repo": REPOSITORY}, ends="True")),
    scenario(
        "a-helm-repository-that-is-missing",
        "HRP-1",
        Step(sources={"HelmRepository/repo": {"url": "@charts@/gone"}}, ends="False"),
    ),
    scenario(
        "a-helm-repository-that-is-away",
        "HRP-1",
        Step(sources={"HelmRepository/repo": {"url": "http://127.0.0.1:9"}}, ends="False"),
    ),
    scenario(
        "a-helm-repository-with-a-missing-secret",
        "HRP-4",
        Step(sources={"HelmRepository/repo": {**REPOSITORY, "secretRef": {"name": "gone"}}}, ends="False"),
    ),
    chart("a-chart", "CH-1", {}),
    chart("a-chart-by-version", "CH-1", {"version": "1.0.0"}),
    chart("a-chart-by-range", "CH-1", {"version": "1.x"}),
    chart("a-chart-by-range-with-pre-releases", "CH-1", {"version": ">=1.0.0-0 <2.0.0"}),
    chart("a-chart-whose-range-nothing-matches", "CH-1", {"version": "9.x"}, ends="False"),
    chart("a-chart-whose-range-is-none", "CH-1", {"version": "one"}, ends=""),
    chart("a-chart-that-is-missing", "CH-1", {"chart": "gone"}, ends=""),
    chart("a-chart-that-is-no-chart", "CH-1", {"chart": "broken"}, ends=""),
    chart("a-chart-whose-file-is-missing", "CH-1", {"chart": "missing"}, ends=""),
    chart("a-chart-with-values", "CH-3", {"version": "1.0.0", "valuesFiles": ["values.yaml", "values-prod.yaml"]}),
    chart(
        "a-chart-with-missing-values",
        "CH-3",
        {"version": "1.0.0", "valuesFiles": ["values.yaml", "gone.yaml"]},
        ends="",
    ),
    chart(
        "a-chart-with-missing-values-that-are-ignored",
        "CH-3",
        {"version": "1.0.0", "valuesFiles": ["values.yaml", "gone.yaml"], "ignoreMissingValuesFiles": True},
    ),
    chart("a-chart-of-a-registry", "CH-1", {}, REGISTRY),
    chart("a-chart-of-a-registry-by-range", "CH-1", {"version": "~1.0.0"}, REGISTRY),
    chart("a-chart-of-a-registry-that-is-missing", "CH-1", {"chart": "gone"}, REGISTRY, ends="False"),
    chart(
        "a-chart-of-a-registry-without-a-signature",
        "CH-5",
        {"verify": KEYED},
        REGISTRY,
        put=(secret("trust", {"cosign.pub": "@key@"}),),
        ends="False",
    ),
    scenario(
        "a-chart-without-a-repository",
        "CH-2",
        Step(sources={"HelmChart/chart": {"sourceRef": FROM_REPOSITORY, "chart": "web"}}, ends="False"),
    ),
    local("a-chart-in-git", "CH-1", {}),
    local("a-chart-in-git-by-revision", "CH-4", {"reconcileStrategy": "Revision"}),
    local("a-chart-in-git-with-values", "CH-3", {"valuesFiles": ["chart/values.yaml", "chart/prod.yaml"]}),
    local("a-chart-in-git-with-missing-values", "CH-3", {"valuesFiles": ["chart/gone.yaml"]}, ends=""),
    local("a-chart-in-git-that-is-missing", "CH-1", {"chart": "./gone"}, ends=""),
    local("a-chart-in-git-outside", "CH-1", {"chart": "../../etc"}, ends=""),
    local(
        "a-chart-in-git-without-a-version",
        "CH-1",
        {},
        CHART | {"chart/Chart.yaml": "apiVersion: v2\nname: local\n"},
        ends="",
    ),
    local("a-chart-in-git-with-a-helmignore", "CH-1", {}, CHART | {"chart/.helmignore": "prod.yaml\n"}),
    local(
        "a-chart-in-git-with-a-neighbour",
        "CH-6",
        {},
        CHART
        | {
            "chart/Chart.yaml": needing("other", "0.1.0", "file://../other"),
            "other/Chart.yaml": "apiVersion: v2\nname: other\nversion: 0.1.0\n",
            "other/values.yaml": "x: 1\n",
        },
    ),
    local(
        "a-chart-in-git-with-a-missing-neighbour",
        "CH-6",
        {},
        CHART | {"chart/Chart.yaml": needing("other", "0.1.0", "file://../other")},
        ends="",
    ),
    local(
        "a-chart-in-git-with-a-dependency",
        "CH-6",
        {},
        CHART | {"chart/Chart.yaml": needing("web", "1.x", "@charts@")},
    ),
    bucket("a-bucket", "BK-1", {}),
    bucket("a-bucket-with-a-prefix", "BK-5", {"prefix": "deep/"}),
    bucket("a-bucket-with-ignore-in-the-spec", "BK-22", {"ignore": "*.md\n"}),
    bucket("a-bucket-with-a-sourceignore-file", "BK-22", {"bucketName": "ignoring"}),
    bucket("an-empty-bucket", "BK-1", {"bucketName": "empty"}, ends=""),
    bucket("a-bucket-that-is-missing", "BK-1", {"bucketName": "gone"}, ends="False"),
    bucket("a-bucket-that-is-away", "BK-1", {"endpoint": "127.0.0.1:9"}, ends="False"),
    bucket("a-bucket-with-a-missing-secret", "BK-3", {"secretRef": {"name": "gone"}}, put=(), ends="False"),
    bucket("a-bucket-with-half-a-secret", "BK-3", {}, put=(secret("s3", {"accesskey": "access"}),), ends="False"),
    bucket(
        "a-bucket-with-a-wrong-secret",
        "BK-3",
        {},
        put=(secret("s3", {"accesskey": "access", "secretkey": "wrong"}),),
        ends="False",
    ),
    git("a-repository-in-part", "GR-11", {"sparseCheckout": ["one", "two/deep"]}, TREE),
    git("a-repository-without-the-part", "GR-11", {"sparseCheckout": ["gone"]}, TREE, ends=""),
    scenario(
        "a-repository-that-includes-itself-elsewhere",
        "GR-12",
        Step(push=TREE, sources={"GitRepository/repo": GIT}, ends="True"),
        Step(
            sources={
                "GitRepository/both": {
                    **GIT,
                    "include": [{"repository": {"name": "repo"}, "fromPath": "two", "toPath": "copied"}],
                }
            },
            ends="True",
        ),
    ),
    git(
        "a-repository-that-includes-what-is-missing",
        "GR-12",
        {"include": [{"repository": {"name": "gone"}}]},
        TREE,
        ends="False",
    ),
)
