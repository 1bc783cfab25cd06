"""Hypothesis strategies: every object, valid or almost valid, and rows of the machines.

*Almost valid* is a rightly encoded and rightly signed map that breaks one rule, or an object
whose bytes were touched: what a hostile peer would try first.
"""

import unicodedata
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from typing import Any

from hypothesis import strategies as st

from node import limits
from node.crypto import signed
from node.encoding import cbor, cid, text
from node.encoding.cid import Cid
from node.errors import Malformed
from node.machines.rows import Account, Delivery
from node.objects import content, message, notification, record
from node.objects.introduction import INTRODUCTION, POLL, Introduction, Poll
from node.objects.message import Message, Part
from node.objects.notification import Notification
from node.objects.receipt import RECEIPT, RETRACTION, Receipt, Retraction
from node.objects.record import Endpoint, Record
from node.objects.signed import Kind
from node.units import DAY, Instant
from tests import factories as make
from tests.factories import ALICE, BOB, CAROL, NOW, Person

people: st.SearchStrategy[Person] = st.sampled_from([ALICE, BOB, CAROL])
integers = st.integers(0, limits.INTEGER)
instants = integers.map(Instant)
near = st.integers(NOW - 40 * DAY, NOW + 40 * DAY).map(Instant)
"""Moments around `factories.NOW`."""
jitters = st.floats(-1, 1, exclude_max=True)


def blob(size: int) -> st.SearchStrategy[bytes]:
    """`size` bytes."""
    return st.binary(min_size=size, max_size=size)


object_links = blob(32).map(lambda digest: Cid(cid.OBJECT_PREFIX + digest))
raw_links = blob(32).map(lambda digest: Cid(cid.RAW_PREFIX + digest))


def _is_name(spelled: str) -> bool:
    try:
        text.check_name(spelled)
    except Malformed:
        return False
    return True


names = st.one_of(
    st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_'", min_size=1, max_size=64),
    st.text(min_size=1, max_size=16)
    .map(lambda spelled: unicodedata.normalize("NFC", spelled))
    .filter(_is_name),
)
labels = st.from_regex("[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.lists(labels, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.integers(2**96, 2**128 - 1).map(lambda number: f"[{IPv6Address(number)}]"),
)
origins = st.builds(lambda host, port: f"{host}:{port}", hosts, st.integers(1, 65_535))
extensions = st.dictionaries(
    st.text("abc", max_size=3),
    st.one_of(integers, st.binary(max_size=8), st.lists(integers, min_size=1, max_size=1)),
    min_size=1,
    max_size=3,
)


def maybe(of: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The value, or None."""
    return st.none() | of


# --- valid objects --------------------------------------------------------------------


def _parts_of(size: int, cipher: str) -> st.SearchStrategy[tuple[Part, ...]]:
    sizes = message.part_sizes(size, cipher)
    return st.lists(raw_links, min_size=len(sizes), max_size=len(sizes)).map(
        lambda links: tuple(
            Part(cid=link, size=each) for link, each in zip(links, sizes, strict=True)
        )
    )


@st.composite
def messages(draw: st.DrawFn, author: Person = ALICE) -> Message:
    """A root whose sizes agree; what is inside need not open."""
    cipher = draw(st.sampled_from([message.SEALED, message.PLAIN]))
    extra = message.overhead(cipher)
    body = draw(st.booleans())
    if body:
        size = draw(st.integers(0, 64) | st.just(limits.BODY - extra))
    else:
        boundary = st.sampled_from([limits.PART, limits.PART + 1, 3 * limits.PART, 5_000_000])
        size = draw(st.integers(limits.BODY - extra + 1, 4 * limits.PART) | boundary)
    return Message(
        author=author.key,
        created=draw(instants),
        size=size,
        cipher=cipher,
        commitment=draw(blob(32)) if cipher == message.SEALED else None,
        body=make.pattern(size + extra) if body else None,
        parts=() if body else draw(_parts_of(size, cipher)),
    )


@st.composite
def notifications(
    draw: st.DrawFn, author: Person = ALICE, to: Person | None = None
) -> Notification:
    """A well-formed item."""
    issued = draw(st.integers(0, limits.INTEGER - limits.KEEP_LONGEST).map(Instant))
    return Notification(
        sender=author.key,
        to=(to or draw(people)).key,
        message=draw(object_links),
        size=draw(integers),
        key=draw(blob(80)),
        ticket=draw(blob(16)),
        issued=issued,
        keep_until=Instant(issued + draw(st.integers(0, limits.KEEP_LONGEST))),
        origin=draw(origins),
        capability=draw(maybe(blob(16))),
        ext=draw(maybe(extensions)),
    )


def batches(author: Person = ALICE, count: int = 5) -> st.SearchStrategy[notification.Batch]:
    """A rightly signed batch of distinct items."""
    return st.lists(
        notifications(author), min_size=1, max_size=count, unique_by=lambda n: (n.to, n.message)
    ).map(
        lambda items: notification.sign_batch(
            author.key, [notification.encode(each) for each in items], author.keys.signing
        )
    )


def receipts(who: Person = BOB) -> st.SearchStrategy[Receipt]:
    """A receipt."""
    return st.builds(
        lambda to, found, at: Receipt(
            sender=who.key, to=to.key, messages=tuple(sorted(found)), at=at
        ),
        people,
        st.sets(object_links, min_size=1, max_size=20),
        instants,
    )


def retractions(who: Person = ALICE) -> st.SearchStrategy[Retraction]:
    """A retraction."""
    return st.builds(
        lambda to, found, at: Retraction(sender=who.key, to=to.key, message=found, at=at),
        people,
        object_links,
        instants,
    )


endpoints = st.builds(Endpoint, origin=origins, pin=maybe(blob(32)))


@st.composite
def records(draw: st.DrawFn, who: Person = ALICE) -> Record:
    """A plain record."""
    return Record(
        id=who.key,
        sealing=who.sealing,
        recovery=who.recovery,
        nodes=tuple(draw(st.lists(endpoints, min_size=1, max_size=limits.ORIGINS))),
        seq=draw(integers),
        issued=draw(instants),
        expires=draw(instants),
        name=draw(maybe(names)),
        ext=draw(maybe(extensions)),
    )


@st.composite
def introductions(draw: st.DrawFn, who: Person = ALICE) -> Introduction:
    """An introduction, with its own record inside or somebody else's."""
    about = draw(people)
    invited = draw(st.booleans())
    return Introduction(
        sender=who.key,
        to=draw(people).key,
        record=record.sign(draw(records(about)), about.keys.signing),
        capability=draw(blob(16)),
        issued=draw(instants),
        invite=draw(blob(4)) if invited else None,
        proof=draw(blob(32)) if invited else None,
        ext=draw(maybe(extensions)),
    )


def polls(who: Person = BOB) -> st.SearchStrategy[Poll]:
    """A poll."""
    return st.builds(
        lambda to, since, issued, lost: Poll(
            sender=who.key, to=to.key, since=since, issued=issued, lost=lost
        ),
        people,
        instants,
        instants,
        maybe(st.tuples(instants, instants)),
    )


def _signed(kind: Kind[Any], of: st.SearchStrategy[Any], who: Person) -> st.SearchStrategy[bytes]:
    return of.map(lambda value: kind.sign(value, who.keys.signing))


def _evidence(whole: notification.Batch) -> st.SearchStrategy[bytes]:
    return st.sampled_from(notification.evidence_of(whole)).map(notification.encode_evidence)


def _successor(who: Person, heir: Person) -> bytes:
    return make.successor_block(who, heir)


BLOCKS: Mapping[str, st.SearchStrategy[bytes]] = {
    "message": _signed(message.KIND, messages(), ALICE),
    "notifications": batches().map(notification.encode_batch),
    "evidence": batches().flatmap(_evidence),
    "receipt": _signed(RECEIPT, receipts(), BOB),
    "retraction": _signed(RETRACTION, retractions(), ALICE),
    "record": records().map(lambda value: record.sign(value, ALICE.keys.signing))
    | st.builds(_successor, st.just(ALICE), people),
    "introduction": _signed(INTRODUCTION, introductions(), ALICE),
    "poll": _signed(POLL, polls(), BOB),
}
"""Valid, signed blocks by kind; the signer is always the same."""
SIGNERS: Mapping[str, Person] = {
    **dict.fromkeys(("message", "notifications", "evidence", "retraction", "record"), ALICE),
    **{"receipt": BOB, "introduction": ALICE, "poll": BOB},
}
blocks: st.SearchStrategy[bytes] = st.sampled_from(sorted(BLOCKS)).flatmap(BLOCKS.__getitem__)
"""A valid block of any kind."""


# --- almost valid ---------------------------------------------------------------------

odd_values = st.one_of(
    st.none(),
    st.booleans(),
    integers,
    st.binary(max_size=100),
    st.text("ab/", max_size=70),
    object_links,
    raw_links,
    st.just([]),
    st.just({}),
    st.lists(integers, max_size=3),
)


@st.composite
def altered_maps(draw: st.DrawFn, kind: str) -> bytes:
    """A valid map with one field changed, removed or added, and signed again where it can be."""
    value = cbor.decode(draw(BLOCKS[kind]), levels=64)
    assert isinstance(value, dict)
    field = draw(st.sampled_from([*sorted(value), "x"]))
    if draw(st.booleans()) and field in value:
        del value[field]
    else:
        value[field] = draw(odd_values)
    if "sig" in value and field not in ("sig", "cosig") and kind not in ("notifications",):
        value = signed.sign(kind, value, SIGNERS[kind].keys.signing)
    return cbor.encode(value)


@st.composite
def touched(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with one to three places set, cut or lengthened."""
    data = bytearray(draw(of))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.sampled_from(["set", "cut", "insert", "end"]))
        if change == "set" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif change == "insert":
            data.insert(at, draw(st.integers(0, 255)))
        elif change == "end":
            del data[at:]
        elif data:
            del data[at]
    return bytes(data)


almost: st.SearchStrategy[bytes] = st.one_of(
    st.sampled_from(sorted(BLOCKS)).flatmap(altered_maps), touched(blocks)
)
"""An almost valid block of any kind."""


# --- sealed content -------------------------------------------------------------------


@st.composite
def letters(draw: st.DrawFn) -> tuple[bytes, bytes, bytes]:
    """K, content, and the root that seals it."""
    key, plain = draw(blob(32)), draw(st.binary(max_size=200))
    return key, plain, content.seal_body(key, ALICE.key, NOW, plain, ALICE.keys.signing)


# --- rows -----------------------------------------------------------------------------

STATES = (
    *("stored", "notified", "held", "refused", "fetched"),
    *("confirmed", "retracted", "expired"),
)


@st.composite
def deliveries(draw: st.DrawFn, states: tuple[str, ...] = STATES) -> Delivery:
    """A delivery in any state that the machine can reach."""
    state = draw(st.sampled_from(states))
    confirmed = state == "confirmed"
    first = draw(near) if confirmed else draw(maybe(near))
    return make.delivery(
        state=state,
        reason=draw(st.sampled_from([None, "waiting"])) if state == "held" else None,
        announced=state not in ("stored",) or draw(st.booleans()),
        step=draw(st.integers(0, 20)),
        next_at=draw(near) if state in STATES[:5] else None,
        receipted=draw(near) if confirmed else None,
        first_receipt=first,
        confirmed_at=draw(near) if confirmed else None,
        void_before=draw(st.just(Instant(0)) | near),
    )


accounts: st.SearchStrategy[Account] = st.builds(
    Account,
    owner=st.just(ALICE.key),
    limit=st.integers(0, 10**12),
    **{word: st.integers(0, 10**9) for word in ("waiting", "grace", "sent", "inbox")},
)

Step = Callable[[Delivery, Instant], Delivery]
