"""The sample repository of the demo: infrastructure, apps with `dependsOn`, overlays, a health-checked Deployment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

IMAGE = {
    "settings.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: from-registry
  namespace: shop
data:
  release: "1"
""",
}
"""The files of an artifact in the registry."""

CHART = {
    "values.yaml": "replicas: 1\nregion: none\n",
    "templates/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
  annotations:
    chart: {{ .Chart.Version }}
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels:
      app: {{ .Release.Name }}
  template:
    metadata:
      labels:
        app: {{ .Release.Name }}
    spec:
      containers:
        - name: backend
          image: example/backend:{{ .Chart.Version }}
          env:
            - name: REGION
              value: {{ .Values.region | quote }}
""",
}
"""A chart, without its Chart.yaml."""

FILES = {
    "clusters/dev/infrastructure.yaml": """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: infrastructure
  namespace: flux-system
spec:
  interval: 10m
  path: ./infrastructure
  prune: true
  wait: true
  sourceRef:
    kind: GitRepository
    name: sample
""",
    "clusters/dev/apps.yaml": """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: apps
  namespace: flux-system
spec:
  interval: 10m
  path: ./apps/overlays/dev
  prune: true
  wait: true
  timeout: 2m
  dependsOn:
    - name: infrastructure
  sourceRef:
    kind: GitRepository
    name: sample
  postBuild:
    substitute:
      environment: dev
""",
    "infrastructure/namespace.yaml": """\
apiVersion: v1
kind: Namespace
metadata:
  name: shop
""",
    "infrastructure/settings.yaml": """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: shop
data:
  region: westeurope
""",
    "apps/base/kustomization.yaml": """\
resources:
  - deployment.yaml
  - service.yaml
""",
    "apps/base/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  replicas: 1
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
        environment: ${environment}
    spec:
      containers:
        - name: web
          image: example/web:1.0.0
""",
    "apps/base/service.yaml": """\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
spec:
  selector:
    app: web
  ports:
    - port: 80
""",
    "apps/overlays/dev/kustomization.yaml": """\
resources:
  - ../../base
images:
  - name: example/web
    newTag: 1.1.0
replicas:
  - name: web
    count: 2
""",
}


def objects(url: str) -> list[dict[str, object]]:
    """What a user applies by hand once: the namespace, the source, and the Kustomization that brings all others."""
    group = "toolkit.fluxcd.io"
    names = {"name": "sample", "namespace": "flux-system"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "flux-system"}},
        {
            "apiVersion": f"source.{group}/v1",
            "kind": "GitRepository",
            "metadata": names,
            "spec": {"interval": "1m", "url": url, "ref": {"branch": "main"}},
        },
        {
            "apiVersion": f"kustomize.{group}/v1",
            "kind": "Kustomization",
            "metadata": names,
            "spec": {
                "interval": "10m",
                "path": "./clusters/dev",
                "prune": True,
                "sourceRef": {"kind": "GitRepository", "name": "sample"},
            },
        },
    ]


def image_objects(url: str) -> list[dict[str, object]]:
    """The source of an artifact in a registry, and the Kustomization that applies it after the apps."""
    names = {"name": "settings", "namespace": "flux-system"}
    source = {"interval": "10m", "url": url}
    applied = {
        "interval": "10m",
        "path": "./",
        "prune": True,
        "dependsOn": [{"name": "apps"}],
        "sourceRef": {"kind": "OCIRepository", "name": "settings"},
    }
    return [
        {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository", "metadata": names, "spec": source},
        {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": names, "spec": applied},
    ]


def chart_objects(url: str) -> list[dict[str, object]]:
    """A registry of charts, and a release into the namespace that the Kustomization `apps` has made."""
    chart = {"chart": "backend", "version": "1.x", "sourceRef": {"kind": "HelmRepository", "name": "charts"}}
    release = {
        "interval": "10m",
        "releaseName": "backend",
        "targetNamespace": "shop",
        "dependsOn": [{"kind": "Kustomization", "name": "apps"}],
        "chart": {"spec": chart},
        "values": {"replicas": 2},
        "valuesFrom": [{"kind": "ConfigMap", "name": "backend", "valuesKey": "region", "targetPath": "region"}],
        "upgrade": {"remediation": {"retries": 3}},
        "driftDetection": {"mode": "enabled"},
    }
    names = {"name": "backend", "namespace": "flux-system"}
    charts = {"name": "charts", "namespace": "flux-system"}
    repository = {"type": "oci", "url": url, "interval": "10m", "insecure": True}
    return [
        {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": charts, "spec": repository},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": names, "data": {"region": "westeurope"}},
        {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": names, "spec": release},
    ]


class Repository:
    """A work tree and the bare repository that it is pushed to."""

    def __init__(self, work: Path, bare: Path) -> None:
        self._work = work
        self._bare = bare

    def create(self, files: dict[str, str] = FILES, message: str = "Infrastructure and a shop") -> None:
        """The files as a first commit."""
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self._bare), cwd=self._bare.parent)
        self._work.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        for name, text in files.items():
            self.write(name, text)
        self.commit(message)

    def read(self, name: str) -> str:
        """A file of the work tree."""
        return (self._work / name).read_text()

    def write(self, name: str, text: str) -> None:
        """Change a file of the work tree."""
        path = self._work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def remove(self, name: str) -> None:
        """Delete a file of the work tree."""
        (self._work / name).unlink()

    def head(self) -> str:
        """The id of the last commit."""
        return self.git("rev-parse", "HEAD").strip()

    def commit(self, message: str) -> str:
        """Commit everything and push it; the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", str(self._bare), "main")
        return self.head()

    def git(self, *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
        """A git command in the work tree; its output. Raises RuntimeError."""
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self._work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **who, "GIT_CONFIG_NOSYSTEM": "1", **(environment or {})},
        )
        if done.returncode != 0:
            raise RuntimeError(f"git {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


_WHO = {"NAME": "Demo", "EMAIL": "demo@example.com"}
