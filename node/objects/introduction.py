"""Introductions and polls: how keys meet, and how one asks for what it missed.

Spec: 03 §introduction, §poll.
"""

from dataclasses import dataclass
from typing import Any

from node import limits
from node.encoding import fields as f
from node.errors import Malformed
from node.objects import record
from node.objects.signed import Fields, Kind
from node.units import Instant, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """Here is how I am reached, and what you show me to come in by the contacts' lane.

    Attributes:
        sender: who introduces; `to`: whom it is for.
        record: a canonical record with `sig`, as bytes; the sender's own, or that of a
            third key the sender vouches for. Its form is checked, its signature is not.
        capability: 16 bytes.
        invite: the 4-byte id of an invite, together with `proof` (32 bytes).
        issued: the sender's clock.
    """

    sender: Key
    to: Key
    record: bytes
    capability: bytes
    issued: Instant
    invite: bytes | None = None
    proof: bytes | None = None
    ext: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Anything for me?

    Attributes:
        since: the `now` of this author's last answer; 0: all.
        issued: the poller's clock; must grow.
        lost: (memory, start) of a restored recipient.
    """

    sender: Key
    to: Key
    since: Instant
    issued: Instant
    lost: tuple[Instant, Instant] | None = None


def _introduction(fields: Fields) -> Introduction:
    if ("invite" in fields) != ("proof" in fields):
        raise Malformed("invite and proof come together")
    record.decode(fields["record"])
    del fields["sig"]
    fields["sender"] = fields.pop("from")
    return Introduction(**fields)


def _introduction_fields(value: Introduction) -> Fields:
    return {
        "from": value.sender,
        "to": value.to,
        "record": value.record,
        "capability": value.capability,
        "issued": value.issued,
        "invite": value.invite,
        "proof": value.proof,
        "ext": value.ext,
    }


def _poll(fields: Fields) -> Poll:
    lost = fields.get("lost")
    return Poll(
        sender=fields["from"],
        to=fields["to"],
        since=fields["since"],
        issued=fields["issued"],
        lost=(lost[0], lost[1]) if lost is not None else None,
    )


def _poll_fields(value: Poll) -> Fields:
    lost = list(value.lost) if value.lost is not None else None
    named = {"from": value.sender, "to": value.to, "since": value.since}
    return named | {"issued": value.issued, "lost": lost}


INTRODUCTION: Kind[Introduction] = Kind(
    name="introduction",
    limit=limits.INTRODUCTION,
    shape=f.Shape(
        "introduction",
        {
            "from": f.key,
            "to": f.key,
            "record": f.at_most(limits.RECORD),
            "capability": f.exactly(16),
            "issued": f.instant,
            "sig": f.exactly(64),
        },
        {"invite": f.exactly(4), "proof": f.exactly(32), "ext": f.ext},
    ),
    make=_introduction,
    fields=_introduction_fields,
    signer=lambda value: value.sender,
)

POLL: Kind[Poll] = Kind(
    name="poll",
    limit=limits.SMALL,
    shape=f.Shape(
        "poll",
        {
            "from": f.key,
            "to": f.key,
            "since": f.instant,
            "issued": f.instant,
            "sig": f.exactly(64),
        },
        {"lost": f.array(f.instant, 2, 2)},
    ),
    make=_poll,
    fields=_poll_fields,
    signer=lambda value: value.sender,
)
