"""What users write in a Bucket, and its status (BK-1..8, BK-20)."""

from __future__ import annotations

from fluxless.api.kinds import BUCKET
from fluxless.api.schema import AGE, READY, STATUS, Declaration, Schema, Version, flag, record, text
from fluxless.api.source import common

_RULES = (
    (
        "self.provider == 'aws' || self.provider == 'generic' || !has(self.sts)",
        "STS configuration is only supported for the 'aws' and 'generic' Bucket providers",
    ),
    (
        "self.provider != 'aws' || !has(self.sts) || self.sts.provider == 'aws'",
        "'aws' is the only supported STS provider for the 'aws' Bucket provider",
    ),
    (
        "self.provider != 'generic' || !has(self.sts) || self.sts.provider == 'ldap'",
        "'ldap' is the only supported STS provider for the 'generic' Bucket provider",
    ),
    (
        "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.secretRef)",
        "spec.sts.secretRef is not required for the 'aws' STS provider",
    ),
    (
        "!has(self.sts) || self.sts.provider != 'aws' || !has(self.sts.certSecretRef)",
        "spec.sts.certSecretRef is not required for the 'aws' STS provider",
    ),
    (
        "self.provider != 'generic' || !has(self.serviceAccountName)",
        "ServiceAccountName is not supported for the 'generic' Bucket provider",
    ),
    (
        "!has(self.secretRef) || !has(self.serviceAccountName)",
        "cannot set both .spec.secretRef and .spec.serviceAccountName",
    ),
)


def _spec(*, old: bool, oldest: bool = False) -> Schema:
    providers = ["generic", "aws", "gcp"] if oldest else ["generic", "aws", "gcp", "azure"]
    fields = {
        "bucketName": text("Name of the bucket or container."),
        "endpoint": text("host[:port] of an S3 service, or the address of a storage account."),
        "ignore": common.ignore(),
        "insecure": flag("Use HTTP."),
        "interval": common.interval("How often the bucket is listed."),
        "provider": text("Whose bucket it is.", default="generic", enum=providers),
        "region": text("Region of the bucket."),
        "secretRef": common.secret("credentials"),
        "suspend": common.suspend(),
        "timeout": common.timeout(default="60s"),
    }
    if not oldest:
        fields |= {
            "certSecretRef": common.secret("TLS certificates"),
            "prefix": text("Only objects whose keys start so."),
            "proxySecretRef": common.secret("the address and credentials of a proxy"),
            "sts": record(
                {
                    "certSecretRef": common.secret("TLS certificates"),
                    "endpoint": text("Address of the service.", pattern="^(http|https)://.*$"),
                    "provider": text("Whose service it is.", enum=["aws", "ldap"]),
                    "secretRef": common.secret("username and password"),
                },
                "A service that gives temporary credentials.",
                required=("endpoint", "provider"),
            ),
        }
    if old:
        fields["accessFrom"] = common.access_from()
    else:
        fields["serviceAccountName"] = text("ServiceAccount to authenticate with.")
    rules = () if oldest else _RULES[:5] if old else _RULES
    return record(
        fields, "What to fetch, from where, how often.", required=("bucketName", "endpoint", "interval"), rules=rules
    )


_STATUS = common.status({"observedIgnore": text("The ignore patterns of the artifact.")})
_COLUMNS = (("Endpoint", ".spec.endpoint", "string"), AGE, READY, STATUS)

BUCKETS = Declaration(
    BUCKET,
    "Objects of a bucket that are kept as an artifact.",
    (
        Version("v1", _spec(old=False), _STATUS, _COLUMNS),
        Version("v1beta2", _spec(old=True), _STATUS, _COLUMNS, deprecated=True),
        Version("v1beta1", _spec(old=True, oldest=True), common.status(old=True), _COLUMNS, deprecated=True),
    ),
)
