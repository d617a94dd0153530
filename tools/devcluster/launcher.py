"""Starts and ends the control plane; everything listens on 127.0.0.1 and lives in one folder."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tools import binaries, processes
from tools.places import free_port

TOKEN = "devtoken"
PARTS = ("kwok", "scheduler", "controllers", "apiserver", "etcd")
READY_WITHIN = 90.0
_ROOM = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "4Ti", "pods": "100000"}
_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "simulated",
        "annotations": {"kwok.x-k8s.io/node": "fake"},
        "labels": {"kubernetes.io/hostname": "simulated", "kubernetes.io/os": "linux"},
    },
    "status": {
        "allocatable": _ROOM,
        "capacity": _ROOM,
    },
}

CLASSES = ("default", "managed-csi", "managed-csi-premium", "azurefile-csi")
"""Storage classes by the names that AKS has; `default` is what a claim without a class gets."""


def _storage_class(name: str) -> dict[str, Any]:
    """Claims bind at once, to a folder of this machine that nobody mounts; it goes with its claim."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"} if name == "default" else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": default},
        "provisioner": "kubernetes.io/host-path",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def start(folder: Path, *, node: bool = True) -> Path:
    """Start the control plane and return its kubeconfig. Running already: nothing happens. Raises RuntimeError."""
    config = folder / "kubeconfig"
    if config.is_file() and processes.running(folder, "apiserver") is not None:
        return config
    folder.mkdir(parents=True, exist_ok=True)
    port, store, peers = free_port(), free_port(), free_port()
    _write_secrets(folder)
    _start_store(folder, store, peers)
    _start_apiserver(folder, port, store)
    _await_ready(folder, port)
    _write_kubeconfig(folder, config, port)
    if node:
        _start_node(folder, config, port)
    return config


def stop(folder: Path) -> None:
    """End it. Its state stays in the folder."""
    for name in PARTS:
        processes.stop(folder, name, kill=name in {"etcd", "apiserver"})


def _write_secrets(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    (folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n')
    if (folder / "sa.key").is_file():
        return
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "sa.key").write_bytes(private)
    (folder / "sa.pub").write_bytes(public)


def _start_store(folder: Path, port: int, peers: int) -> None:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    processes.start(
        "etcd",
        [
            binaries.find(binaries.ETCD),
            *("--data-dir", folder / "etcd"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
            *("--unsafe-no-fsync", "--log-level", "error"),
        ],
        folder,
    )


def _start_apiserver(folder: Path, port: int, store: int) -> None:
    processes.start(
        "apiserver",
        [
            binaries.find(binaries.APISERVER),
            *("--etcd-servers", f"http://127.0.0.1:{store}"),
            *("--secure-port", str(port), "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"),
            *("--cert-dir", folder / "certs", "--service-cluster-ip-range", "10.96.0.0/16"),
            *("--service-account-key-file", folder / "sa.pub"),
            *("--service-account-signing-key-file", folder / "sa.key"),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *("--token-auth-file", folder / "tokens.csv", "--authorization-mode", "RBAC"),
            *("--disable-admission-plugins", "ServiceAccount,TaintNodesByCondition", "--allow-privileged"),
        ],
        folder,
    )


def _await_ready(folder: Path, port: int) -> None:
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # the certificate is made while the server starts
    request = urllib.request.Request(f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})

    def ready() -> bool:
        if processes.running(folder, "apiserver") is None:
            raise RuntimeError((folder / "apiserver.log").read_text(errors="replace")[-2000:])
        try:
            with urllib.request.urlopen(request, timeout=2, context=unverified) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    processes.wait_for("the API server", ready, READY_WITHIN, folder / "apiserver.log")


def _write_kubeconfig(folder: Path, config: Path, port: int) -> None:
    authority = base64.b64encode((folder / "certs" / "apiserver.crt").read_bytes()).decode()
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "dev", "cluster": cluster}],
        "users": [{"name": "dev", "user": {"token": TOKEN}}],
        "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}],
        "current-context": "dev",
    }
    config.write_text(json.dumps(document, indent=1))


def _start_node(folder: Path, config: Path, port: int) -> None:
    """The controllers, the scheduler, the simulated node and storage that binds."""
    processes.start(
        "controllers",
        [
            binaries.find(binaries.CONTROLLERS),
            *("--kubeconfig", config, "--service-account-private-key-file", folder / "sa.key"),
            *("--use-service-account-credentials", "--leader-elect=false", "--cluster-signing-cert-file="),
            *("--controllers", "*,-node-lifecycle-controller", "--secure-port", "0"),
            "--enable-hostpath-provisioner",
            # Stock controllers send 20 requests a second each, which would be all that a benchmark measures.
            *("--kube-api-qps", "500", "--kube-api-burst", "1000"),
        ],
        folder,
    )
    processes.start(
        "scheduler",
        [binaries.find(binaries.SCHEDULER), "--kubeconfig", config, "--leader-elect=false", "--secure-port", "0"],
        folder,
    )
    _create(folder, port, "/api/v1/nodes", _NODE)
    for name in CLASSES:
        _create(folder, port, "/apis/storage.k8s.io/v1/storageclasses", _storage_class(name))
    processes.start(
        "kwok",
        [
            binaries.find(binaries.KWOK),
            *("--kubeconfig", config, "--manage-all-nodes=false"),
            *("--manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake"),
            *("--config", Path(__file__).with_name("stages.yaml"), "--server-address", ""),
        ],
        folder,
    )


def _create(folder: Path, port: int, path: str, obj: dict[str, Any]) -> None:
    trusted = ssl.create_default_context(cafile=str(folder / "certs" / "apiserver.crt"))
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}{path}",
        data=json.dumps(obj).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=10, context=trusted).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:  # there from an earlier start
            what = f"{obj['kind']} {obj['metadata']['name']}"
            raise RuntimeError(f"{what} cannot be created: {error.read()[:500]!r}") from error
