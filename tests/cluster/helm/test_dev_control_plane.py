"""What charts want of a cluster, and the development control plane has: a version, and storage that binds."""

from fluxless.kube.client import Cluster
from tests.support.charts import ChartServer, packed
from tests.support.flux import Flux, message, ready
from tests.support.releases import put_release, the_release
from tools import binaries

STATEFUL = """apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ .Release.Name }}
  annotations: {kubernetes: "{{ .Capabilities.KubeVersion.Version }}"}
spec:
  serviceName: x
  replicas: 2
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      containers:
        - name: x
          image: x:1
          resources: {requests: {ephemeral-storage: 50Mi}}
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
    - metadata: {name: shared}
      spec: {accessModes: [ReadWriteMany], storageClassName: azurefile-csi, resources: {requests: {storage: 1Gi}}}
"""


async def test_the_api_server_says_the_pinned_version(cluster: Cluster) -> None:
    said = await cluster.request("GET", "/version")
    pinned = binaries.version(binaries.APISERVER)
    assert said["gitVersion"] == pinned
    assert f"v{said['major']}.{said['minor']}" == pinned.rpartition(".")[0]


async def test_a_chart_with_a_kube_version_and_volumes_gets_ready(
    flux: Flux, charts: ChartServer, repository: ChartServer
) -> None:
    content = packed("stateful", "1.0.0", {"templates/x.yaml": STATEFUL}, kubeVersion=">=1.23.0-0")
    charts.add("stateful", "1.0.0", content)
    await put_release(flux, "stateful")
    await flux.run(patience=5)
    assert ready(await the_release(flux)) == ("True", "InstallSucceeded"), message(await the_release(flux))
    made = await flux.get("apps/v1", "StatefulSet", "app")
    assert made is not None
    assert made["metadata"]["annotations"]["kubernetes"] == binaries.version(binaries.APISERVER)
    assert made["status"]["readyReplicas"] == 2
    claims = await flux.cluster.list(await flux.cluster.resource("v1", "PersistentVolumeClaim"), flux.namespace)
    bound = {one["metadata"]["name"]: one["status"]["phase"] for one in claims}
    assert bound == dict.fromkeys(("data-app-0", "data-app-1", "shared-app-0", "shared-app-1"), "Bound")
