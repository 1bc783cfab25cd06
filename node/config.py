"""What an operator can set, with its default, and where a value came from.

`HOME/config.toml`, written by `init`; every key is optional. An unknown key or a value out
of range is refused with its path, before anything starts.
"""

import re
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import msgspec

from node import limits
from node.encoding import origin as origins
from node.errors import ConfigBroken, Malformed
from node.units import GIB, KIB, MIB, ByteCount

_SOURCE = re.compile("https://[A-Za-z0-9][A-Za-z0-9._~:/@%+-]{0,190}")
"""An address that stands in a line for a shell: nothing a shell would look at."""
_SIZES = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB}


def size(text: str) -> ByteCount:
    """`10MiB`, `64 KiB`, `5GiB` or plain bytes.

    Raises:
        ConfigBroken: anything else.
    """
    bare = text.replace(" ", "")
    for unit in ("KiB", "MiB", "GiB", "B", ""):
        number = bare.removesuffix(unit)
        if bare.endswith(unit) and number.isascii() and number.isdigit() and len(number) < 16:
            return ByteCount(int(number) * _SIZES.get(unit, 1))
    raise ConfigBroken(f"not a size: {text[:40]!r}", next="write it like 10MiB or 5GiB")


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the node listens, and whom it may call.

    Attributes:
        listen: `host:port` of the public listener.
        origin: `host:port` under which others reach it; None: the same as `listen`.
        private: whether private addresses may be called (both sides must allow it).
        ports: ports that may be called beside 443, 4625 and 8443.
        trusted_proxies: addresses whose `X-Forwarded-For` is believed.
    """

    listen: str = "127.0.0.1:4625"
    origin: str | None = None
    private: bool = False
    ports: tuple[int, ...] = ()
    trusted_proxies: tuple[str, ...] = ()


class Pickup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ask_over`: larger accepted mail waits at its sender until its owner calls for it."""

    ask_over: str = "10MiB"


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`sent`: after the grace, `keep` sent mail or `drop` its blocks."""

    sent: str = "keep"


class Capacity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`message`: the largest message; `quota`: what a new owner gets."""

    message: str = "64MiB"
    quota: str = "5GiB"


class Invite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`source`: the https address willcall can be cloned from, shown to whoever is invited."""

    source: str = ""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration; the tables above are its sections."""

    network: Network = Network()
    pickup: Pickup = Pickup()
    retention: Retention = Retention()
    capacity: Capacity = Capacity()
    invite: Invite = Invite()

    @property
    def origin(self) -> str:
        """Where others reach the node."""
        return self.network.origin or self.network.listen

    @property
    def ask_over(self) -> ByteCount:
        """Larger mail waits until it is called for."""
        return size(self.pickup.ask_over)

    @property
    def message(self) -> ByteCount:
        """The largest message."""
        return size(self.capacity.message)

    @property
    def quota(self) -> ByteCount:
        """What a new owner gets."""
        return size(self.capacity.quota)

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Whose word on a client's address is believed."""
        return tuple(ip_network(text) for text in self.network.trusted_proxies)

    @property
    def keep_sent(self) -> bool:
        """Whether sent mail stays after the grace."""
        return self.retention.sent == "keep"


def parse(text: str) -> Config:
    """The configuration in `text` (TOML).

    Raises:
        ConfigBroken: not TOML, an unknown key, a value that can't be used; says which.
    """
    try:
        config = msgspec.convert(tomllib.loads(text), Config)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigBroken(f"config.toml: {error}", next="willcall config check") from error
    check(config)
    return config


def check(config: Config) -> None:
    """Raises ConfigBroken unless all values can be used."""
    for word, value in (("listen", config.network.listen), ("origin", config.origin)):
        try:
            origins.check(value)
        except Malformed as error:
            raise ConfigBroken(f"network.{word}: {error.text}", next="write host:port") from error
    try:
        _ = config.proxies
    except ValueError as error:
        raise ConfigBroken(f"network.trusted_proxies: {error}") from error
    if any(not 1 <= port <= 65_535 for port in config.network.ports):
        raise ConfigBroken("network.ports: a port is a number from 1 to 65535")
    if config.retention.sent not in ("keep", "drop"):
        raise ConfigBroken("retention.sent is `keep` or `drop`")
    if not 1 <= config.message <= limits.MESSAGE_LARGEST:
        raise ConfigBroken("capacity.message is at most 1GiB")
    if config.invite.source and not _SOURCE.fullmatch(config.invite.source):
        raise ConfigBroken("invite.source is an https address to clone from, or empty")
    _ = config.ask_over, config.quota


def print_toml(config: Config) -> str:
    """The configuration as TOML, every key with its value."""
    lines: list[str] = []
    for section, values in msgspec.to_builtins(config).items():
        lines += [f"[{section}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
        lines += [""]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return str(value)
