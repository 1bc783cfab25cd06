"""What may keep a node from doing its work, looked at from where it lives; and what to do.

Works while the node is stopped as well: then what only it knows is `unknown`. The first half
judges facts and asks nobody; the second gathers them, from the home, the system and the network.
Nothing is changed. Whether others reach the node, only others can say: `willcall doctor reach`.
"""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from node import limits
from node.client.guard import PORTS
from node.config import Config
from node.encoding import origin
from node.errors import WillcallError
from node.homes import Home, tls_of
from node.server.listen import BACKLOG
from node.system import SystemClock, SystemProcess
from node.units import DAY, GIB, MIB, MINUTE, SECOND, Instant, Millis

DESCRIPTORS = 2 * BACKLOG
"""Files and connections that a node may need open: all it takes from others, and its store's."""
EXPIRES_SOON = Millis(14 * DAY)
"""A given certificate with less time left: whoever renews it would have done so."""
PATIENCE = 5.0
"""Seconds for a connection to an address of our own, and for a name to be looked up."""

OK, WARN, FAIL, UNKNOWN = "ok", "warn", "fail", "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what.
        state: ok, warn, fail or unknown.
        detail: what is so.
        next: what to do; None: nothing.
        code: what the command ends with if this fails.
    """

    check: str
    state: str
    detail: str
    next: str | None = None
    code: int = 78


# --- rules --------------------------------------------------------------------------------


def disk(free: int, size: int) -> Finding:
    """Room where the home is."""
    said = f"{_room(free)} of {_room(size)} are free"
    make_room = "make room: willcall quota shows what mail takes"
    if free < limits.DISK_LOW:
        return Finding(check="disk", state=FAIL, detail=said, next=make_room, code=74)
    if free < limits.DISK_TIGHT:
        return Finding(check="disk", state=WARN, detail=said, next=make_room)
    return Finding(check="disk", state=OK, detail=said)


def _room(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.1f} MiB"


def descriptors(most: int | None) -> Finding:
    """How many files and connections the node may have open."""
    if most is None:
        return _asleep("files")
    said = f"the node may have {most:,} files and connections open"
    if most < DESCRIPTORS:
        hint = f"willcall service install (it sets 8,192), or ulimit -n {DESCRIPTORS} before run"
        return Finding(check="files", state=WARN, detail=said, next=hint)
    return Finding(check="files", state=OK, detail=said)


def clock(clocks: Iterable[Mapping[str, Any]] | None, *, believed: bool) -> Finding:
    """Our clock beside those of contacts: `ahead` is how far theirs are, in milliseconds."""
    if clocks is None:
        return _asleep("clock")
    ahead = sorted(int(each["ahead"]) for each in clocks)
    mend = "set it: timedatectl set-ntp true, or what this system has for that"
    if ahead and abs(median := ahead[len(ahead) // 2]) > limits.CLOCK_SKEW:
        way = "behind" if median > 0 else "ahead of"
        said = f"this clock is {abs(median) // MINUTE} min {way} {_contacts(len(ahead))}"
        return Finding(check="clock", state=FAIL, detail=said, next=mend)
    if not believed:
        said = "the clock has jumped by more than a day: for 24 hours nothing expires"
        return Finding(check="clock", state=WARN, detail=said, next="see that `date -u` is right")
    if not ahead:
        said = "there is no contact to compare it with now"
        return Finding(check="clock", state=UNKNOWN, detail=said, next="see what `date -u` says")
    said = f"within {max(map(abs, ahead)) / SECOND:.1f} s of {_contacts(len(ahead))}"
    return Finding(check="clock", state=OK, detail=said)


def _contacts(count: int) -> str:
    return f"that of {count} contact{'s' if count > 1 else ''}"


def backup(verified: str | None, now: Instant, moment: Callable[[str], Instant]) -> Finding:
    """The newest backup that was read back and compared."""
    make = "willcall backup FILE, then willcall backup verify FILE"
    if verified is None:
        said = "no backup was ever verified"
        return Finding(check="backup", state=WARN, detail=said, next=make)
    days = max(0, now - moment(verified)) // DAY
    said = f"the newest verified one is {days} days old"
    if days * DAY > limits.BACKUP_VERIFIED:
        return Finding(check="backup", state=WARN, detail=said, next=make)
    return Finding(check="backup", state=OK, detail=said)


def archives(found: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Archives that need somebody; where none do, nothing is said."""
    for each in found:
        owner = f"--owner {each['owner']} " if each["owner"] else ""
        if each["forked"]:
            said = "its key signed two histories, and nothing new of it is believed"
            hint = f"willcall {owner}archive show {each['name']}, and ask its owner"
        else:
            said = "restored from a backup, and signs nothing until it caught up"
            hint = f"willcall {owner}archive poll {each['name']} --from URL   (a mirror)"
        yield Finding(check="archives", state=WARN, detail=f"{each['name']}: {said}", next=hint)


def place(config: Config) -> Finding:
    """What the origin alone says of who can come here."""
    at = config.origin
    go = "to be reached from elsewhere: network.origin in config.toml, docs/operations.md"
    if not config.network.inbound or origin.is_loopback(at):
        said = f"{at}: for this machine alone. Mail from elsewhere comes by asking for it; what is"
        said += " sent there can't be picked up"
        return Finding(check="origin", state=OK, detail=said, next=go)
    _, port = origin.split(at)
    if origin.is_private(at):
        return Finding(check="origin", state=OK, detail=f"{at}: for this network alone", next=go)
    if port not in PORTS:
        said = f"{at}: other nodes call port {port} only if they are told so"
        usual = ", ".join(map(str, sorted(PORTS)))
        return Finding(check="origin", state=WARN, detail=said, next=f"choose one of {usual}")
    return Finding(check="origin", state=OK, detail=at)


def certificate(expires: Instant, now: Instant, *, own: bool) -> Finding:
    """How long it can still be shown."""
    days = (expires - now) // DAY
    whose = "own certificate, by its pin" if own else "given certificate"
    said = f"{whose}, for {days} more days"
    if expires <= now:
        hint = "restart the node: it makes a new one" if own else "renew the files in [tls]"
        return Finding(check="tls", state=FAIL, detail=f"{whose}: it has expired", next=hint)
    if not own and expires - now < EXPIRES_SOON:
        return Finding(check="tls", state=WARN, detail=said, next="renew it soon")
    return Finding(check="tls", state=OK, detail=said)


def _asleep(check: str) -> Finding:
    return Finding(check=check, state=UNKNOWN, detail="only a running node knows", next=_RUN)


_RUN = "willcall run, or willcall service install"


# --- looking ------------------------------------------------------------------------------


def examine(home: Home, checkup: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Every finding, one after the other as they are made.

    Args:
        home: whose.
        checkup: what the running node says; None: it does not run.
    """
    try:
        home.check()
        config = home.load()
    except WillcallError as error:
        yield Finding(check="home", state=FAIL, detail=error.text, next=error.next)
        return
    yield _home(home)
    yield _node(checkup)
    process = SystemProcess(home.folder)()
    yield disk(process.disk_free, process.disk_size)
    yield descriptors(None if checkup is None else checkup["descriptors"])
    known = None if checkup is None else checkup["clocks"]
    yield clock(known, believed=checkup is None or bool(checkup["clock_believed"]))
    if checkup is None:
        yield _asleep("backup")
    else:
        yield backup(checkup["verified"], SystemClock().now(), _moment)
        yield from archives(checkup["archives"])
    yield _port(config, running=checkup is not None)
    yield place(config)
    yield from _names(config)
    yield _tls(home, config)
    yield Finding(
        check="reach",
        state=UNKNOWN,
        detail="whether others reach this node, only others can say",
        next="willcall doctor reach",
    )


def _home(home: Home) -> Finding:
    mode = home.folder.stat().st_mode & 0o777
    if mode & 0o077:
        said = f"{home.folder} has mode {mode:o}: others of this machine can look into it"
        return Finding(check="home", state=FAIL, detail=said, next=f"chmod 700 {home.folder}")
    try:
        home.check_rights()
    except WillcallError as error:
        code = error.exit_code
        return Finding(check="home", state=FAIL, detail=error.text, next=error.next, code=code)
    return Finding(check="home", state=OK, detail=str(home.folder))


def _node(checkup: Mapping[str, Any] | None) -> Finding:
    if checkup is None:
        said = "it does not run; what can be looked at without it is"
        return Finding(check="node", state=WARN, detail=said, next=_RUN)
    if checkup["full"]:
        said = f"it runs; {checkup['full']} of its owners have no room left"
        return Finding(check="node", state=WARN, detail=said, next="willcall quota")
    return Finding(check="node", state=OK, detail="it runs")


def _port(config: Config, *, running: bool) -> Finding:
    """Whether the node listens where it should, or could."""
    host, port = origin.split(config.network.listen)
    at = "127.0.0.1" if host == "0.0.0.0" else "::1" if host in ("::", "[::]") else host
    said = config.network.listen
    try:
        with socket.create_connection((at.strip("[]"), port), PATIENCE):
            answers = True
    except OSError:
        answers = False
    if answers and not running:
        hint = f"find out who: ss -ltnp 'sport = :{port}'"
        detail = f"somebody else listens at {said}"
        return Finding(check="port", state=FAIL, detail=detail, next=hint, code=69)
    if running and not answers:
        detail = f"the node runs, and nothing answers at {said}"
        hint = "a firewall of this machine may be between"
        return Finding(check="port", state=FAIL, detail=detail, next=hint, code=69)
    return Finding(check="port", state=OK, detail=f"{said} {'answers' if answers else 'is free'}")


def _names(config: Config) -> Iterator[Finding]:
    """DNS both ways, for an origin that is for all."""
    host, _ = origin.split(config.origin)
    if config.is_plain:
        return
    if not origin.is_domain(host):
        yield Finding(check="dns", state=OK, detail=f"{host}: an address needs no name")
        yield _reverse(host, {host.strip("[]")})
        return
    found = _looked_up(host)
    if not found:
        hint = f"give {host} an A or AAAA record"
        yield Finding(check="dns", state=FAIL, detail=f"{host} has no address", next=hint)
        return
    wrong = sorted(each for each in found if not ipaddress.ip_address(each).is_global)
    if wrong:
        said = f"{host} is also {', '.join(wrong)}: nobody else can call that, so nobody does"
        hint = f"let {host} name public addresses alone"
        yield Finding(check="dns", state=FAIL, detail=said, next=hint)
        return
    yield Finding(check="dns", state=OK, detail=f"{host} is {', '.join(sorted(found))}")
    yield _reverse(host, found)


def _looked_up(host: str) -> set[str]:
    try:
        return {str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def _reverse(host: str, addresses: set[str]) -> Finding:
    """Forward-confirmed reverse DNS: strangers' nodes may ask for it, contacts' don't."""
    for address in sorted(addresses):
        try:
            name = socket.gethostbyaddr(address)[0]
        except OSError:
            said = f"{address} has no name of its own"
            break
        if address not in _looked_up(name):
            said = f"{address} is called {name}, which is not {address}"
            break
    else:
        return Finding(check="reverse dns", state=OK, detail="confirmed")
    hint = "whoever rents out the address sets it; contacts are not concerned, strangers may hold"
    return Finding(check="reverse dns", state=WARN, detail=said, next=hint)


def _tls(home: Home, config: Config) -> Finding:
    now = SystemClock().now()
    if config.is_plain:
        return Finding(check="tls", state=OK, detail="not needed: nobody calls from outside")
    if config.tls.by == "proxy":
        return _proxy(config)
    tls = tls_of(home, config)
    assert tls is not None, "neither plain nor a proxy's"
    try:
        tls.look()
    except WillcallError as error:
        return Finding(check="tls", state=FAIL, detail=error.text, next=error.next)
    return certificate(tls.expires, now, own=tls.pin is not None)


def _proxy(config: Config) -> Finding:
    """What a caller from here meets at the proxy."""
    host, port = origin.split(config.origin)
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host.strip("[]"), port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")),
        ):
            return Finding(check="tls", state=OK, detail=f"the proxy at {config.origin} shows it")
    except ssl.SSLCertVerificationError as error:
        said = f"the certificate at {config.origin} is refused: {error.verify_message}"
        return Finding(check="tls", state=FAIL, detail=said, next="mend it at the proxy")
    except OSError as error:
        said = f"{config.origin} can't be called from here ({error}); that need not mean anything"
        return Finding(check="tls", state=UNKNOWN, detail=said, next="willcall doctor reach")


def _moment(text: str) -> Instant:
    from datetime import datetime

    return Instant(int(datetime.fromisoformat(text).timestamp() * 1000))


# --- reach --------------------------------------------------------------------------------


def reached(answer: Mapping[str, Any]) -> list[Finding]:
    """What contacts that were made to come say of the way here."""
    return [_one(answer["origin"], row) for row in answer["tried"]]


def _one(at: str, row: Mapping[str, Any]) -> Finding:
    who = row["contact"]
    if row["state"] == "reached":
        return _came(at, row)
    if row["state"] == "unknown":
        said = f"{who}'s node could not be asked ({row['why']}): nothing is known by this"
        return Finding(
            check="reach", state=UNKNOWN, detail=said, next="try another: doctor reach NAME"
        )
    said = f"{who}'s node was asked, and did not come to {at}: mail from here can't be picked up"
    hint = "look at the firewall, the router's port forwarding, and what network.origin says"
    return Finding(check="reach", state=FAIL, detail=said, next=hint, code=69)


def _came(at: str, row: Mapping[str, Any]) -> Finding:
    said = f"{row['contact']}'s node came to {at} from {row['source'] or 'here'}"
    if row["from"] == "outside":
        return Finding(check="reach", state=OK, detail=f"{said}: mail can be picked up from there")
    said += f", which is {row['from']}: it says nothing of others"
    if origin.is_plain(at):
        return Finding(check="reach", state=OK, detail=said)
    hint = "ask a contact who is elsewhere: willcall doctor reach NAME"
    return Finding(check="reach", state=UNKNOWN, detail=said, next=hint)
