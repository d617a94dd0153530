"""Charts and HelmReleases for tests of releases."""

from __future__ import annotations

from typing import Any

from fluxless.helm.release import read
from tests.support.flux import Flux, Obj

API, RELEASE = "helm.toolkit.fluxcd.io/v2", "HelmRelease"
TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  a: "{{ .Values.a }}"
  namespace: {{ .Release.Namespace }}
"""
CHART = {"templates/x.yaml": TEMPLATE}


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  replicas: 1
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      {{- if .Values.bad }}
      nodeSelector: {nowhere: "true"}
      {{- end }}
      containers: [{name: x, image: "x:{{ .Values.tag }}"}]
"""
REJECTED = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Values.name }}
"""


async def put_release(flux: Flux, chart: str, name: str = "app", *, version: str = "*", **spec: Any) -> None:
    source = {"kind": "HelmRepository", "name": "repo"}
    body = {"spec": {"chart": chart, "version": version, "sourceRef": source}}
    await flux.put(API, RELEASE, name, {"interval": "10m", "chart": body, **spec})


async def records(flux: Flux, name: str = "app") -> dict[int, str]:
    resource = await flux.cluster.resource("v1", "Secret")
    found = await flux.cluster.list(resource, flux.namespace, labels=f"owner=helm,name={name}")
    return {one.version: one.status for one in map(read, found)}


async def the_release(flux: Flux, name: str = "app") -> Obj:
    return await flux.source_of(RELEASE, name)
