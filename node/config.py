"""What an operator can set: every key with its default, its meaning and its check.

`HOME/config.toml`, written by `init`; every key is optional. Meaning, check and whether a
change needs a restart stand beside the key, once: `init` prints them, `willcall config show`
shows them, a broken file is told with all its errors, key and line, before anything starts.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any

import msgspec

from node import limits
from node.encoding import names
from node.encoding import origin as origins
from node.encoding import text as texts
from node.errors import ConfigBroken, Malformed
from node.units import DAY, GIB, HOUR, KIB, MIB, MINUTE, SECOND, ByteCount, Millis

_SOURCE = re.compile("https://[A-Za-z0-9][A-Za-z0-9._~:/@%+-]{0,190}")
"""An address that stands in a line for a shell: nothing a shell would look at."""
_SPANS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
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


def span(text: str) -> Millis:
    """`30s`, `15m`, `1h`, `7d`.

    Raises:
        ConfigBroken: anything else, or less than a second.
    """
    number, unit = text[:-1], text[-1:]
    if unit in _SPANS and number.isascii() and number.isdigit() and 0 < int(number) < 10_000:
        return Millis(int(number) * _SPANS[unit])
    raise ConfigBroken(f"not a time: {text[:40]!r}", next="write it like 30s, 15m, 1h or 7d")


# --- checks: a value in, ValueError or WillcallError out --------------------------------


def _check_origin(value: str | None) -> None:
    if value is not None:
        origins.check(value)


def _check_local(value: str | None) -> None:
    """Where a token and mail would pass in the clear, nobody listens."""
    if value is None:
        return
    origins.check(value)
    if not origins.is_loopback(value):
        raise ValueError(f"{value} is not this machine alone, and there is no TLS here yet")


def _check_hosts(value: tuple[str, ...]) -> None:
    for name in value:
        origins.check(f"{name}:1")


def _check_ports(value: tuple[int, ...]) -> None:
    for port in value:
        if not 1 <= port <= 65_535:
            raise ValueError(f"a port is a number from 1 to 65535, not {port}")


def _check_networks(value: tuple[str, ...]) -> None:
    for text in value:
        ip_network(text)


def _check_servers(value: tuple[str, ...]) -> None:
    for place in value:
        host, _ = origins.split(place)
        ip_address(host)


def _check_rdap(value: str) -> None:
    if value not in ("iana", "none") and not value.startswith(("http://", "https://")):
        raise ValueError(f"{value[:40]!r} is none of: iana, none, an http(s) URL")


def _check_message(value: str) -> None:
    if not 1 <= size(value) <= limits.MESSAGE_LARGEST:
        raise ValueError("at most 1GiB, at least one byte")


def _check_source(value: str) -> None:
    if value and not _SOURCE.fullmatch(value):
        raise ValueError("an https address to clone from, or empty")


def _check_names(value: tuple[str, ...]) -> None:
    for name in value:
        if name != "*":
            texts.check_name(name)


def _check_domain(value: str) -> None:
    if value:
        origins.check_domain(value)


def _check_places(value: tuple[str, ...]) -> None:
    if len(value) > limits.DIRECTORIES:
        raise ValueError(f"at most {limits.DIRECTORIES} directories")
    for place in value:
        at, _, pin = place.partition(" ")
        origins.check(at)
        if pin and len(names.unb64(pin)) != 32:
            raise ValueError("a pin is the base64url of 32 bytes")


def _one_of(*words: str) -> Callable[[str], None]:
    def check(value: str) -> None:
        if value not in words:
            raise ValueError(f"{value[:40]!r} is none of: {', '.join(words)}")

    return check


def _key(
    meaning: str, check: Callable[[Any], object] | None = None, *, restart: bool = False
) -> msgspec.Meta:
    """What belongs to a key beside its type and default.

    Args:
        meaning: one line for a person.
        check: raises for a value that can't be used.
        restart: whether a running node goes on with the old value until it is started again.
    """
    return msgspec.Meta(description=meaning, extra={"check": check, "restart": restart})


# --- the keys ---------------------------------------------------------------------------


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[section]` of the file; the first line of its docstring is printed above it."""


class Network(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the node listens, and whom it may call."""

    listen: Annotated[
        str, _key("host:port of the public listener", _check_origin, restart=True)
    ] = "127.0.0.1:4625"
    origin: Annotated[
        str | None,
        _key(
            "host:port under which others reach the node; none: the same as listen",
            _check_origin,
            restart=True,
        ),
    ] = None
    private: Annotated[
        bool,
        _key("whether private addresses (10.0.0.0/8 and such) may be called, or be the origin"),
    ] = False
    inbound: Annotated[
        bool,
        _key(
            "whether others can call this node; false: it asks its contacts every five minutes",
            restart=True,  # a node that starts asks at once, and by the new measure from then on
        ),
    ] = True
    ports: Annotated[
        tuple[int, ...], _key("ports that may be called beside 443, 4625 and 8443", _check_ports)
    ] = ()
    trusted_proxies: Annotated[
        tuple[str, ...],
        _key("addresses or networks whose X-Forwarded-For is believed", _check_networks),
    ] = ()
    dns: Annotated[
        tuple[str, ...],
        _key(
            "DNS servers that are asked, address:port; none: the system's",
            _check_servers,
            restart=True,
        ),
    ] = ()


class Local(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For owners who are not at this machine: the local API by TCP, opened by tokens."""

    listen: Annotated[
        str | None,
        _key(
            "host:port for commands with a token; none: the home's socket alone",
            _check_local,
            restart=True,
        ),
    ] = None
    names: Annotated[
        tuple[str, ...],
        _key(
            "names under which it is called, beside addresses and localhost",
            _check_hosts,
            restart=True,
        ),
    ] = ()


class Tls(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose certificate callers meet. At a loopback or private origin none: HTTP is plain there."""

    by: Annotated[
        str,
        _key(
            "`own`: made by the node, pinned in records; `files`: given below; `proxy`: in front",
            _one_of("own", "files", "proxy"),
            restart=True,
        ),
    ] = "own"
    certificate: Annotated[
        str | None, _key("PEM file with the whole chain, for `files`", restart=True)
    ] = None
    key: Annotated[str | None, _key("PEM file with its key, for `files`", restart=True)] = None


class Pickup(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When accepted mail is fetched."""

    ask_over: Annotated[
        str, _key("larger accepted mail waits at its sender until its owner calls for it", size)
    ] = "10MiB"


class Retention(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stays."""

    sent: Annotated[
        str,
        _key("after the grace, `keep` sent mail or `drop` its bytes", _one_of("keep", "drop")),
    ] = "keep"


class Capacity(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much fits."""

    message: Annotated[
        str, _key("the largest message, sent or accepted; at most 1GiB", _check_message)
    ] = "64MiB"
    quota: Annotated[str, _key("what a new owner gets; owners that exist keep theirs", size)] = (
        "5GiB"
    )


class Invite(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page behind your invite links says."""

    source: Annotated[
        str, _key("https address willcall can be cloned from; none: nothing is said", _check_source)
    ] = ""


class Discovery(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who can be found by a name, and where."""

    webfinger: Annotated[
        tuple[str, ...],
        _key('owners who are found as name@domain; ["*"]: all of them', _check_names),
    ] = ()
    domain: Annotated[
        str, _key("the domain of these names; none: the host of network.origin", _check_domain)
    ] = ""


class Directory(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How nodes that moved are found again."""

    enabled: Annotated[bool, _key("whether this node keeps address records for others")] = False
    ask: Annotated[
        tuple[str, ...],
        _key(
            "directories that are told where we are, and asked: host:port, or host:port PIN",
            _check_places,
        ),
    ] = ()
    seeds: Annotated[bool, _key("whether the list that came with willcall is used as well")] = True


class Strangers(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of mail from people you don't know."""

    policy: Annotated[
        str,
        _key(
            "`personal`: they wait; `strict`: without confirmed reverse DNS nothing is kept",
            _one_of("personal", "strict"),
        ),
    ] = "personal"
    again: Annotated[
        str,
        _key("how long after its first answer a stranger's node has to answer once more", span),
    ] = "1h"
    rdap: Annotated[
        str,
        _key(
            "`iana`: registries are asked how old a domain is; `none`; or the URL of one to ask",
            _check_rdap,
            restart=True,
        ),
    ] = "iana"


class Log(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the node says on standard error."""

    level: Annotated[
        str,
        _key(
            "the least that is logged: debug, info, warning or error",
            _one_of("debug", "info", "warning", "error"),
        ),
    ] = "warning"
    format: Annotated[
        str,
        _key("text: `event key=value …`; json: an object a line", _one_of("text", "json")),
    ] = "text"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration; the tables above are its sections."""

    network: Network = Network()
    local: Local = Local()
    tls: Tls = Tls()
    pickup: Pickup = Pickup()
    retention: Retention = Retention()
    capacity: Capacity = Capacity()
    invite: Invite = Invite()
    discovery: Discovery = Discovery()
    directory: Directory = Directory()
    strangers: Strangers = Strangers()
    log: Log = Log()

    @property
    def origin(self) -> str:
        """Where others reach the node."""
        return self.network.origin or self.network.listen

    @property
    def is_plain(self) -> bool:
        """Whether callers speak plain HTTP to the origin: a loopback or private address."""
        return origins.is_plain(self.origin)

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
    def again(self) -> Millis:
        """Until a stranger's node has to answer once more."""
        return span(self.strangers.again)

    @property
    def domain(self) -> str | None:
        """The domain at which owners have names; None: neither said nor to be guessed."""
        guess = self.discovery.domain or origins.split(self.origin)[0]
        return guess if origins.is_domain(guess) else None

    def is_found(self, name: str) -> bool:
        """Whether the owner called `name` chose to be found by it."""
        return name in self.discovery.webfinger or "*" in self.discovery.webfinger

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Whose word on a client's address is believed."""
        return tuple(ip_network(text) for text in self.network.trusted_proxies)

    @property
    def keep_sent(self) -> bool:
        """Whether sent mail stays after the grace."""
        return self.retention.sent == "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One key of the file, with all that stands beside it above."""

    section: str
    name: str
    kind: Any
    default: Any
    meaning: str
    restart: bool
    check: Callable[[Any], object] | None

    @property
    def path(self) -> str:
        """`section.name`."""
        return f"{self.section}.{self.name}"

    def value(self, config: Config) -> Any:
        """What `config` says."""
        return getattr(getattr(config, self.section), self.name)


@cache
def settings() -> tuple[Setting, ...]:
    """Every key there is, in the order of the file."""
    return tuple(
        _described(section.name, field)
        for section in msgspec.structs.fields(Config)
        for field in msgspec.structs.fields(section.type)
    )


def _described(section: str, field: msgspec.structs.FieldInfo) -> Setting:
    meta: msgspec.Meta = field.type.__metadata__[0]
    return Setting(
        section=section,
        name=field.name,
        kind=field.type,
        default=field.default,
        meaning=meta.description or "",
        **(meta.extra or {}),
    )


# --- reading ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something in the file that can't be used; `line` from 1, where it is known."""

    text: str
    line: int | None = None

    def __str__(self) -> str:
        """For a person."""
        return self.text if self.line is None else f"line {self.line}: {self.text}"


def parse(text: str) -> Config:
    """The configuration in `text` (TOML).

    Raises:
        ConfigBroken: not TOML, an unknown key, a value that can't be used; says which.
    """
    found = problems(text)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ConfigBroken(f"config.toml, {found[0]}{more}", next="willcall config check")
    return msgspec.convert(tomllib.loads(text), Config)


def problems(text: str) -> list[Problem]:
    """All that is wrong with the file at once, in its order."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        return [Problem(text=str(error), line=int(at[1]) if at else None)]
    where = lines(text)
    said = [each for section, values in tables.items() for each in _of_section(section, values)]
    found = said or _together(msgspec.convert(tables, Config))
    return [Problem(text=text, line=where.get(path)) for path, text in found]


def check(config: Config) -> None:
    """Raises ConfigBroken unless all values can be used."""
    for key in settings():
        for said in _of_value(key, key.value(config)):
            hint = "write host:port" if key.check is _check_origin else "willcall config show"
            raise ConfigBroken(said, next=hint)
    for _, said in _together(config):
        raise ConfigBroken(said, next="willcall config show; with init: --origin HOST:PORT")


def _together(config: Config) -> Iterator[tuple[str, str]]:
    """What no key is to blame for alone: its path, and what is wrong."""
    network, tls, at = config.network, config.tls, config.origin
    where = "network.origin" if network.origin else "network.listen"
    if origins.is_unspecified(at):
        yield where, f"network.origin: {at} can't be called; say under which address others can"
    if origins.is_private(at) and not network.private:
        yield where, f"network.origin: {at} is a private address: that needs network.private = true"
    for word, value in (("certificate", tls.certificate), ("key", tls.key)):
        if tls.by == "files" and not value:
            yield "tls.by", f'tls.{word}: tls.by = "files" needs the name of a PEM file'
        if tls.by != "files" and value:
            yield f"tls.{word}", f'tls.{word}: only used with tls.by = "files"'
    if tls.by == "proxy" and not network.trusted_proxies:
        yield (
            "tls.by",
            "tls.by: a proxy needs network.trusted_proxies, or all callers look like one",
        )


def _of_section(section: str, values: Any) -> Iterator[tuple[str, str]]:
    known = {key.name: key for key in settings() if key.section == section}
    if not known:
        every = list(dict.fromkeys(key.section for key in settings()))
        yield section, f"there is no section {section!r}{_nearest(section, every)}"
    elif not isinstance(values, dict):
        yield section, f"{section} is a section: write [{section}], and its keys below"
    else:
        for name, value in values.items():
            path = f"{section}.{name}"
            if name not in known:
                yield path, f"there is no key {path!r}{_nearest(name, list(known))}"
            else:
                yield from ((path, said) for said in _of_value(known[name], value))


def _of_value(key: Setting, value: Any) -> Iterator[str]:
    try:
        made = msgspec.convert(value, key.kind)
        if key.check is not None:
            key.check(made)
    except (msgspec.ValidationError, ValueError) as error:
        yield f"{key.path}: {error}"
    except (ConfigBroken, Malformed) as error:
        yield f"{key.path}: {error.text}"


def _nearest(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f"; do you mean {close[0]!r}?" if close else f"; there are {', '.join(known)}"


def unreadable(file: str, error: OSError | UnicodeDecodeError) -> ConfigBroken:
    """What is said of a file whose text nobody gets to see."""
    if isinstance(error, OSError):
        return ConfigBroken(f"{file} can't be read: {error.strerror}", next=f"ls -ld {file}")
    line = error.object.count(b"\n", 0, error.start) + 1
    return ConfigBroken(f"{file}: line {line} is not text in UTF-8", next="save the file as UTF-8")


def lines(text: str) -> dict[str, int]:
    """On which line each section and key stands; the plain spellings of TOML only."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if head := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = f"{head[1]}."
            found.setdefault(head[1], number)
        elif key := re.match(r"\s*([\w.-]+)\s*=", line):
            found.setdefault(f"{section}{key[1]}", number)
    return found


# --- changing while the node runs -------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a running node makes of a changed file.

    Attributes:
        config: to go on with: the new one, but for keys that need a restart.
        changed: keys whose new value holds from now on.
        waiting: keys whose new value needs a restart.
    """

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]


def reloaded(old: Config, new: Config) -> Reloaded:
    """The configuration after a reload, given the one that runs and the one in the file."""
    differ = [key for key in settings() if key.value(old) != key.value(new)]
    kept: dict[str, dict[str, Any]] = {}
    for key in settings():
        if key.restart:
            kept.setdefault(key.section, {})[key.name] = key.value(old)
    sections = {
        section: msgspec.structs.replace(getattr(new, section), **values)
        for section, values in kept.items()
    }
    return Reloaded(
        config=msgspec.structs.replace(new, **sections),
        changed=tuple(key.path for key in differ if not key.restart),
        waiting=tuple(key.path for key in differ if key.restart),
    )


# --- printing ---------------------------------------------------------------------------


def print_toml(config: Config) -> str:
    """The configuration as TOML: every key with its meaning; a default is a comment.

    What is a comment follows the defaults of later versions. Where the node listens is
    always said: others may have been told of it.
    """
    parts: list[str] = [
        "# Settings of a willcall node; a line without its # overrides the default."
    ]
    for section in msgspec.structs.fields(Config):
        title = (section.type.__doc__ or "").partition("\n")[0]
        parts += ["", f"# {title}", f"[{section.name}]"]
        parts += [_printed(key, config) for key in settings() if key.section == section.name]
    return "\n".join(parts) + "\n"


def _printed(key: Setting, config: Config) -> str:
    value = key.value(config)
    plain = value == key.default and key.path != "network.listen"
    text = "" if value is None else f" {show(value)}"
    return f"# {key.meaning}\n{'# ' if plain else ''}{key.name} ={text}"


def show(value: Any) -> str:
    """A value as TOML spells it; `none`, which TOML can't, where there is none."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case list() | tuple():
            return "[" + ", ".join(show(each) for each in value) + "]"
        case _:
            return str(value)
