"""What users write in a HelmRepository and a HelmChart, and their statuses (HRP-1..8, HRP-20, CH-1..6, CH-20)."""

from __future__ import annotations

from fluxless.api.kinds import HELM_CHART, HELM_REPOSITORY
from fluxless.api.schema import AGE, READY, STATUS, Declaration, Schema, Version, flag, listing, record, text
from fluxless.api.source import common


def _repository(*, oldest: bool) -> Schema:
    fields = {
        "accessFrom": common.access_from(),
        "interval": common.interval("How often the index is fetched."),
        "passCredentials": flag("Show the credentials to other hosts that charts come from."),
        "secretRef": common.secret("username and password, or a docker configuration"),
        "suspend": common.suspend(),
        "timeout": common.timeout(**({"default": "60s"} if oldest else {})),
        "url": text("Address of the repository.", **({} if oldest else {"pattern": "^(http|https|oci)://.*$"})),
    }
    if not oldest:
        fields |= {
            "certSecretRef": common.secret("TLS certificates"),
            "insecure": flag("Allow HTTP for an OCI repository."),
            "provider": text(
                "How to authenticate with OCI.", default="generic", enum=["generic", "aws", "azure", "gcp"]
            ),
            "type": text("default has an index, oci is a registry.", enum=["default", "oci"]),
        }
    return record(fields, "Where charts come from.", required=("url", *(("interval",) if oldest else ())))


def _chart(*, old: bool, oldest: bool = False) -> Schema:
    source = record(
        {
            "apiVersion": text("API version."),
            "kind": text("Kind.", enum=["HelmRepository", "GitRepository", "Bucket"]),
            "name": text("Name."),
        },
        "Where the chart comes from.",
        required=("kind", "name"),
    )
    fields = {
        "chart": text("Name of the chart in a HelmRepository, or its path in a GitRepository or Bucket."),
        "interval": common.interval("How often the source is looked at."),
        "reconcileStrategy": text("What makes a new chart.", default="ChartVersion", enum=["ChartVersion", "Revision"]),
        "sourceRef": source,
        "suspend": common.suspend(),
        "valuesFiles": listing(text(), "Files whose values are merged into the chart's."),
        "version": text("Version or range of versions; only for charts of a HelmRepository.", default="*"),
    }
    if not oldest:
        fields["ignoreMissingValuesFiles"] = flag("Go on without files of valuesFiles that are not there.")
        fields["verify"] = common.verify(root=False)
    if old:
        fields["accessFrom"] = common.access_from()
        fields["valuesFile"] = text("Has no meaning any more.")
    rules = () if oldest else (
        (
            "!has(self.verify) || self.sourceRef.kind == 'HelmRepository'",
            "spec.verify is only supported when spec.sourceRef.kind is 'HelmRepository'",
        ),
    )  # fmt: skip
    return record(fields, "Which chart to fetch.", required=("chart", "interval", "sourceRef"), rules=rules)


_OBSERVED = {
    "observedChartName": text("The name of the chart."),
    "observedSourceArtifactRevision": text("The revision of the source that the chart was made of."),
    "observedValuesFiles": listing(text(), "The values files that were merged."),
}
_URL = (("URL", ".spec.url", "string"), AGE, READY, STATUS)
_CHART = (
    ("Chart", ".spec.chart", "string"),
    ("Version", ".spec.version", "string"),
    ("Source Kind", ".spec.sourceRef.kind", "string"),
    ("Source Name", ".spec.sourceRef.name", "string"),
    *(AGE, READY, STATUS),
)

HELM_REPOSITORIES = Declaration(
    HELM_REPOSITORY,
    "A repository of Helm charts, whose index is kept as an artifact.",
    (
        Version("v1", _repository(oldest=False), common.status(), _URL),
        Version("v1beta2", _repository(oldest=False), common.status(), _URL, deprecated=True),
        Version("v1beta1", _repository(oldest=True), common.status(old=True), _URL, deprecated=True),
    ),
)
HELM_CHARTS = Declaration(
    HELM_CHART,
    "A Helm chart that is kept as an artifact.",
    (
        Version("v1", _chart(old=False), common.status(_OBSERVED), _CHART),
        Version("v1beta2", _chart(old=True), common.status(_OBSERVED), _CHART, deprecated=True),
        Version("v1beta1", _chart(old=True, oldest=True), common.status(old=True), _CHART, deprecated=True),
    ),
)
