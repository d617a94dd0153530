"""Which addresses the app calls because an object says so: public ones, and those that an app setting allows.

What lies near the app trusts whoever reaches it: metadata and identity endpoints, Durable's RPC, the host's admin door,
the network around. So every connection that an object leads to is judged here, by the address that it is made to
(`connections.py`). Pure but for one question to the kernel; the policy is set once, by whoever starts the process.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

SETTING = "FLUXLESS_ALLOWED_ADDRESSES"
IDENTITY = ("IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST")
"""Variables of the environment that say where the app gets its own tokens."""
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def _table(rows: Mapping[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple((ip_network(text), what) for text, what in rows.items())


NEVER = _table(
    {
        "0.0.0.0/8": "it is no host",
        "168.63.129.16/32": "Azure's host answers there",
        "169.254.0.0/16": "metadata and identities are served there",
        "100.100.100.200/32": "metadata is served there",
        "192.0.0.192/32": "metadata is served there",
        "224.0.0.0/4": "it is a multicast address",
        "255.255.255.255/32": "it is a broadcast address",
        "::/128": "it is no host",
        "fd00:ec2::/32": "metadata is served there",
        "fd20:ce::254/128": "metadata is served there",
        "fe80::/10": "it is link-local",
        "ff00::/8": "it is a multicast address",
    }
)
"""No setting allows these."""
UNLESS_ALLOWED = _table(
    {
        "127.0.0.0/8": "it is the app's own machine",
        "::1/128": "it is the app's own machine",
        "10.0.0.0/8": "it is private",
        "100.64.0.0/10": "it is private",
        "172.16.0.0/12": "it is private",
        "192.168.0.0/16": "it is private",
        "fc00::/7": "it is private",
        "fec0::/10": "it is private",
        "192.0.0.0/24": "it is reserved",
        "192.0.2.0/24": "it is reserved",
        "198.18.0.0/15": "it is reserved",
        "198.51.100.0/24": "it is reserved",
        "203.0.113.0/24": "it is reserved",
        "240.0.0.0/4": "it is reserved",
        "100::/64": "it is reserved",
        "2001:db8::/32": "it is reserved",
        "3fff::/20": "it is reserved",
        "5f00::/16": "it is reserved",
    }
)
"""IANA's registries of special-purpose addresses, but for what is never allowed."""
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_NAT64, _NAT64_LOCAL = IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")
_SIIT = IPv6Network("::ffff:0:0:0/96")
"""Translated addresses of RFC 2765."""
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


class AddressRefused(OSError):
    """An object leads to an address that the app does not call. An OSError, since it comes where one connects: every
    room turns those into its own problem, with `transport.words`.
    """

    def __init__(self, address: object, host: str, why: str, next_step: str) -> None:
        of = "" if str(address) == host else f" of '{host}'"
        super().__init__(f"address {address}{of} is not allowed: {why}")
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """`allowed` are called besides public addresses. `identity` are host and port of the endpoints that give the app
    its tokens: never called for an object, wherever they are. `everything` is for people who type addresses themselves.
    """

    allowed: tuple[Network, ...] = ()
    identity: frozenset[tuple[str, int]] = field(default=frozenset())
    everything: bool = False

    @classmethod
    def of(cls, text: str, environment: Mapping[str, str]) -> AddressPolicy:
        """From the app setting: addresses and ranges with commas between. Raises ValueError naming the wrong one."""
        allowed = tuple(ip_network(entry.strip()) for entry in text.split(",") if entry.strip())
        found = (urlsplit(environment.get(name, "")) for name in IDENTITY)
        ends = {(url.hostname, url.port or 80) for url in found if url.hostname}
        return cls(allowed, frozenset(ends))

    def judge(self, host: str, address: str, port: int) -> None:
        """Whether a connection of `host` to this very address may be made. Raises `AddressRefused`."""
        if self.everything:
            return
        try:
            found = _unscoped(address)
        except ValueError:
            raise AddressRefused(address, host, "it is no IP address", "name a server by its name") from None
        inside = [found, *_embedded(found)]
        for one in inside:
            if why := _why(one, NEVER):
                raise AddressRefused(found, host, why, "name a server that is not near the app")
        here = any(_is_here(one, port) for one in inside)
        if self._gives_tokens(host, inside, port, here):
            why = "the app gets its own tokens there"
            raise AddressRefused(found, host, why, "name a server that is not near the app")
        for one in inside:
            why = _why(one, UNLESS_ALLOWED)
            if why and not any(one in network for network in self.allowed):
                raise _not_allowed(found, host, why)
        if here and not any(loop in network for loop in _LOOPBACK for network in self.allowed):
            raise _not_allowed(found, host, "it is the app's own machine")

    def judge_name(self, host: str, port: int) -> None:
        """The same for a host that somebody else resolves, such as the app's own proxy: only addresses that are written
        out can be judged, in whatever form. Raises `AddressRefused`.
        """
        bare = host.rstrip(".").lower()
        if bare == "localhost" or bare.endswith(".localhost"):
            bare = "127.0.0.1"
        try:
            found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except OSError:
            return
        for info in found:
            self.judge(host, str(info[4][0]), port)

    def _gives_tokens(self, host: str, addresses: list[Address], port: int, here: bool) -> bool:
        for name, where in self.identity:
            if where != port:
                continue
            if name == host.rstrip(".").lower() or any(str(address) == name for address in addresses):
                return True
            if here and (name == "localhost" or _is_loopback(name)):
                return True
        return False


def _not_allowed(address: Address, host: str, why: str) -> AddressRefused:
    step = f"where that is meant, add it or its range to the app setting {SETTING}"
    return AddressRefused(address, host, f"{why}, and {SETTING} does not have it", step)


def _why(address: Address, table: tuple[tuple[Network, str], ...]) -> str:
    return next((what for network, what in table if address in network), "")


def _is_loopback(text: str) -> bool:
    try:
        return ip_address(text).is_loopback
    except ValueError:
        return False


def _unscoped(address: str) -> Address:
    return ip_address(address.partition("%")[0])


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Every IPv4 address that a packet to an IPv6 address may end at: mapped, translated or tunnelled."""
    if isinstance(address, IPv4Address):
        return
    raw = address.packed
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    last = IPv4Address(raw[12:])
    if raw[:12] == bytes(12) and int(address) > 1:  # the old compatible form
        yield last
    if address in _NAT64 or address in _NAT64_LOCAL or address in _SIIT or raw[8:12] in _ISATAP:
        yield last
    if address in _NAT64_LOCAL:  # RFC 6052: bits 64 to 71 are skipped
        yield IPv4Address(raw[6:8] + raw[9:11])


def _is_here(address: Address, port: int) -> bool:
    """Whether the kernel would deliver to this machine itself, which listens on more than 127.0.0.1. Sends nothing."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), port or 1))
            return _unscoped(str(probe.getsockname()[0])) == address
    except OSError:
        return False


_policy = [AddressPolicy()]
"""Strict until somebody says otherwise: whoever forgets to has the wall."""


def policy() -> AddressPolicy:
    """That of this process."""
    return _policy[-1]


def use(chosen: AddressPolicy) -> AddressPolicy:
    """Set it for this process: the app at its start, the CLI, tests. Returns what was set before."""
    before = _policy[-1]
    _policy[-1] = chosen
    return before


def refusal(error: BaseException | None) -> AddressRefused | None:
    """The refusal behind an error of a library that connects, or None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, AddressRefused):
            return error
        seen.add(id(error))
        reason = getattr(error, "reason", None)
        error = error.__cause__ or error.__context__ or (reason if isinstance(reason, BaseException) else None)
    return None
