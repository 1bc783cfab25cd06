"""Heads: h11 finds them right, once for equal bytes; what is remembered is bounded."""

import h11
import pytest

from node.server import heads
from node.server.admission import ServerLimits
from node.server.heads import LONGEST, MOST, Heads, parse

LIMITS = ServerLimits()
POST = b"POST /v1/poll?a=%41 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n"


def test_equal_bytes_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known, parsed = Heads(LIMITS), list[bytes]()

    def counted(raw: bytes, limits: ServerLimits) -> heads.Head:
        parsed.append(raw)
        return parse(raw, limits)

    monkeypatch.setattr(heads, "parse", counted)
    first = known.read(POST + b"\r\n")
    assert known.read(POST + b"\r\n") is first
    other = known.read(POST + b"Accept: b\r\n\r\n")
    assert other.fields[-1] == (b"accept", b"b")
    assert known.read(POST.replace(b": a", b":  a") + b"\r\n").fields == first.fields
    assert len(parsed) == 3


def test_what_a_head_says() -> None:
    head = parse(POST + b"Expect: 100-continue\r\n\r\n", LIMITS)
    assert (head.method, head.raw_path, head.query) == ("POST", b"/v1/poll", b"a=%41")
    assert (head.length, head.waits, head.stays, head.old) == (12, True, True, False)
    assert head.refusal is None
    assert parse(b"GET /%7Ea HTTP/1.1\r\nHost: a\r\n\r\n", LIMITS).path == "/~a"


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        (b"keep-alive", True),
        (b"close", False),
        (b"Close", False),
        (b"keep-alive, CLOSE", False),
        (b"x-close", True),
        (b"keep-alive\r\nConnection: close", False),
    ],
)
def test_who_wants_to_close(said: bytes, stays: bool) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: " + said + b"\r\n\r\n"
    assert parse(raw, LIMITS).stays is stays
    # h11 as the second opinion.
    wire = h11.Connection(h11.SERVER)
    wire.receive_data(raw)
    while wire.next_event() not in (h11.NEED_DATA, h11.PAUSED) and wire.their_state != h11.DONE:
        if wire.their_state is h11.MUST_CLOSE:
            break
    assert (wire.their_state is h11.DONE) is stays


def test_what_is_remembered_is_bounded() -> None:
    known = Heads(LIMITS)
    first = known.read(POST + b"\r\n")
    for n in range(MOST):
        known.read(POST + b"N: %d\r\n\r\n" % n)
    assert known.read(POST + b"\r\n") is not first
    long = POST + b"N: " + b"n" * LONGEST + b"\r\n\r\n"
    assert known.read(long) is not known.read(long)


def test_what_was_refused_is_refused_again() -> None:
    known = Heads(LIMITS)
    for _ in range(2):
        head = known.read(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert head.refusal is not None
        assert head.refusal.status == 411
        with pytest.raises(h11.RemoteProtocolError):
            known.read(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(h11.RemoteProtocolError):
            known.read(b"GET / HTTP/1.1\r\nHost: a\n\r\n")


def test_what_is_refused_takes_no_place_of_what_is_not() -> None:
    known = Heads(LIMITS)
    first = known.read(POST + b"\r\n")
    for n in range(MOST):
        known.read(POST.replace(b"/v1", b"*/%d" % n) + b"\r\n")
    assert known.read(POST + b"\r\n") is first


@pytest.mark.parametrize("line", [b"a:\r\n", b" a\r\n"])
def test_lines_are_counted_before_they_are_parsed(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen thousand of them, behind a body, once held up everybody for thirty milliseconds."""
    whole = POST + b"b: c\r\n" + line * (LIMITS.fields - 3)
    assert parse(whole + b"\r\n", LIMITS).refusal is None
    monkeypatch.setattr(h11, "Connection", None)
    with pytest.raises(h11.RemoteProtocolError) as error:
        parse(whole + line + b"\r\n", LIMITS)
    assert error.value.error_status_hint == 431
