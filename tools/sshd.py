"""OpenSSH's server on 127.0.0.1: the one of PATH, else that of Debian's package, unpacked and not installed."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools import processes
from tools.lock import locked
from tools.places import cache, free_port

PACKAGES = ("openssh-server", "libwrap0", "libnss-wrapper")


class NotToBeHad(RuntimeError):
    """There is no sshd here, and no package of it."""


@dataclass(frozen=True, slots=True)
class Server:
    """`url` begins the address of every repository; `known_hosts` is what its clients must know of it."""

    url: str
    known_hosts: str


def start(folder: Path, authorized_keys: str) -> Server:
    """Serve every path of this machine to whoever holds one of the keys. Raises `NotToBeHad`."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    sshd, libraries = find()
    host_key = folder / "host"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host_key)],
        check=True,
        timeout=30,
        capture_output=True,
    )
    (folder / "authorized_keys").write_text(authorized_keys)
    port = free_port()
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": host_key,
        "PidFile": "none",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in
    environment = _surroundings(folder, libraries) if libraries else {}
    processes.start("sshd", [sshd, "-D", "-e", "-f", config], folder, env=environment)
    log = folder / "sshd.log"
    processes.wait_for("sshd", lambda: "listening on" in log.read_text(errors="replace"), 20.0, log)
    kind, key = (folder / "host.pub").read_text().split()[:2]
    return Server(f"ssh://{getpass.getuser()}@127.0.0.1:{port}", f"[127.0.0.1]:{port} {kind} {key}\n")


def stop(folder: Path) -> None:
    """End it."""
    processes.stop(folder, "sshd")


def _surroundings(folder: Path, libraries: Path) -> dict[str, str]:
    """For a server that is not installed: its libraries, and the user that its package would have made."""
    for name, line in (("passwd", "sshd:x:65530:65530::/run/sshd:/usr/sbin/nologin\n"), ("group", "")):
        (folder / name).write_text(Path(f"/etc/{name}").read_text() + line)
    return {
        "LD_LIBRARY_PATH": str(libraries),
        "LD_PRELOAD": str(libraries / "libnss_wrapper.so"),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }


def find() -> tuple[Path, Path | None]:
    """The server, and the folder of its libraries where they are not installed. Raises `NotToBeHad`."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found:
        return Path(found), None
    target = cache() / "sshd-2"
    with locked(cache() / "sshd.lock"):
        if not (target / "usr" / "sbin" / "sshd").is_file():
            _unpack(target)
    libraries = next(target.rglob("libwrap.so.0")).parent
    return target / "usr" / "sbin" / "sshd", libraries


def _unpack(target: Path) -> None:
    work = target.with_suffix(f".{os.getpid()}")
    work.mkdir()
    try:
        _run(["apt-get", "download", *PACKAGES], work)
        for package in work.glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), str(work / "tree")], work)
        (work / "tree").rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except OSError as error:
        raise NotToBeHad(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        raise NotToBeHad(f"{' '.join(command[:2])}: {done.stderr.strip()[-500:]}")
