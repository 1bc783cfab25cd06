"""Receipts and retractions: the two words that end a delivery. Spec: 03 §receipt, §retraction."""

from dataclasses import dataclass

from node import limits
from node.encoding import fields as f
from node.encoding.cid import Cid
from node.objects.signed import Fields, Kind, distinct_sorted
from node.units import Instant, Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The addressee has these messages, verified and durable.

    Attributes:
        sender: the addressee, who signs.
        to: the author of the messages.
        messages: 1 to 256 CIDs, sorted, distinct.
        at: the addressee's clock.
    """

    sender: Key
    to: Key
    messages: tuple[Cid, ...]
    at: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraction:
    """The author withdraws one message from one addressee."""

    sender: Key
    to: Key
    message: Cid
    at: Instant


def _receipt(fields: Fields) -> Receipt:
    return Receipt(
        sender=fields["from"],
        to=fields["to"],
        messages=distinct_sorted(fields["messages"], "the messages of a receipt"),
        at=fields["at"],
    )


def _retraction(fields: Fields) -> Retraction:
    return Retraction(
        sender=fields["from"], to=fields["to"], message=fields["message"], at=fields["at"]
    )


RECEIPT: Kind[Receipt] = Kind(
    name="receipt",
    limit=limits.RECEIPT,
    shape=f.Shape(
        "receipt",
        {
            "from": f.key,
            "to": f.key,
            "messages": f.array(f.object_link, 1, limits.BATCH),
            "at": f.instant,
            "sig": f.exactly(64),
        },
        {},
    ),
    make=_receipt,
    fields=lambda r: {"from": r.sender, "to": r.to, "messages": list(r.messages), "at": r.at},
    signer=lambda r: r.sender,
)

RETRACTION: Kind[Retraction] = Kind(
    name="retraction",
    limit=limits.SMALL,
    shape=f.Shape(
        "retraction",
        {
            "from": f.key,
            "to": f.key,
            "message": f.object_link,
            "at": f.instant,
            "sig": f.exactly(64),
        },
        {},
    ),
    make=_retraction,
    fields=lambda r: {"from": r.sender, "to": r.to, "message": r.message, "at": r.at},
    signer=lambda r: r.sender,
)
