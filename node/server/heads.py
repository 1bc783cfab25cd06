"""Heads of requests: h11 parses them and finds them right, once for equal bytes.

A peer's calls have the same head, byte for byte, one after the other; so do a reader's polls. A
bounded number is remembered, with what is to be said of it. The bytes decide, nothing else: one
that differs in a blank is parsed anew.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

import h11

from node.ports import Response
from node.problems import problem
from node.server.admission import ServerLimits

Fields = tuple[tuple[bytes, bytes], ...]

MOST = 256
"""Heads that are remembered: a few hundred peers that call at the same time. Who fills them up on
purpose takes nothing from others but this shortcut."""
LONGEST = 1_024
"""Bytes of a head that is remembered: a peer's call has three hundred."""
END = re.compile(rb"\n\r?\n")
"""Where a head ends to h11; that a line ends with CR and LF is looked at afterwards."""
_HOST = re.compile(rb"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?", re.ASCII)
"""`uri-host [":" port]` (RFC 9112 §3.2, RFC 3986 §3.2.2)."""
OLD = (b"GET", b"HEAD")
"""What may be asked by HTTP/1.0: nothing with a body."""


@dataclass(frozen=True, slots=True)
class Head:
    """A request line and its header fields.

    Attributes:
        raw: the bytes, with the empty line.
        fields: in their order, names in small letters.
        length: bytes of the body.
        old: it is HTTP/1.0: an answer without a length ends with the connection.
        stays: the client may send another request on this connection.
        waits: the body comes after `100 Continue` (RFC 9110 §10.1.1).
        refusal: the answer, whatever it asks for.
    """

    raw: bytes
    method: str
    raw_path: bytes
    path: str
    query: bytes
    fields: Fields
    length: int
    old: bool
    stays: bool
    waits: bool
    refusal: Response | None


class Heads:
    """Parsed heads; the oldest goes first."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._known: dict[bytes, Head] = {}

    def read(self, raw: bytes) -> Head:
        """The head that these bytes are, whole and with nothing behind it.

        Raises:
            h11.RemoteProtocolError: they are none.
        """
        head = self._known.get(raw)
        if head is None:
            head = parse(raw, self._limits)
            self._note(head)
        return head

    def _note(self, head: Head) -> None:
        # One that is refused ends its connection.
        if len(head.raw) > LONGEST or head.refusal is not None:
            return
        if len(self._known) >= MOST:
            del self._known[next(iter(self._known))]
        self._known[head.raw] = head


def parse(raw: bytes, limits: ServerLimits) -> Head:
    """The same, without a memory.

    Raises:
        h11.RemoteProtocolError: the bytes are no head.
    """
    if raw.count(b"\n") > limits.fields + 2:
        # Before they are parsed, which takes its time; a folded line counts as a field.
        text = f"At most {limits.fields} fields are taken."
        raise h11.RemoteProtocolError(text, error_status_hint=431)
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(raw)
    request = wire.next_event()
    if not isinstance(request, h11.Request):
        raise h11.RemoteProtocolError("This is no request.")
    if raw.count(b"\n") != raw.count(b"\r\n"):
        # To h11 a bare LF ends a line. A proxy to which it does not would see other fields.
        raise h11.RemoteProtocolError("A line of a head ends with CR and LF.")
    fields = tuple((bytes(name), bytes(value)) for name, value in request.headers)
    raw_path, _, query = bytes(request.target).partition(b"?")
    path = raw_path.decode("ascii")
    old = request.http_version != b"1.1"
    # h11 has checked the number, and that there is only one.
    length = next((int(value) for name, value in fields if name == b"content-length"), 0)
    return Head(
        raw=raw,
        method=request.method.decode("ascii"),
        raw_path=raw_path,
        path=unquote(path) if "%" in path else path,
        query=query,
        fields=fields,
        length=length,
        old=old,
        stays=not old and not any(closes(value) for name, value in fields if name == b"connection"),
        waits=length > 0 and wire.they_are_waiting_for_100_continue,
        refusal=_refusal(request, fields, limits),
    )


def closes(value: bytes) -> bool:
    """Whether this field `Connection` says that it is the last exchange here (RFC 9112 §9.6)."""
    return any(option.strip().lower() == b"close" for option in value.split(b","))


def _refusal(request: h11.Request, fields: Fields, limits: ServerLimits) -> Response | None:
    """The answer to a request that is not taken, whatever it asks for."""
    section = len(request.target)
    names = set()
    for name, value in fields:
        section += len(name) + len(value) + 4
        names.add(name)
        if name == b"host" and not _HOST.fullmatch(value):
            return problem(400, "The Host field names no host.", "malformed")
    read = request.http_version == b"1.0" and request.method in OLD
    if request.http_version != b"1.1" and not read:
        return problem(505, "HTTP/1.1 is spoken here; tell your proxy so.", "http-version")
    if len(request.target) > limits.target:
        return problem(414, f"A target has at most {limits.target} bytes.", "too-large")
    if section > limits.section:
        return problem(431, f"A head has at most {limits.section} bytes.", "too-large")
    if b"transfer-encoding" in names:
        # Two lengths in one request are how one request is smuggled inside another.
        if b"content-length" in names:
            return problem(400, "Content-Length excludes Transfer-Encoding.", "malformed")
        return problem(411, "Send a Content-Length, not chunks.", "length-required")
    if not request.target.startswith(b"/"):
        return problem(400, "The request target has to be a path.", "malformed")
    return None
