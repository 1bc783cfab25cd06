"""The one door for foreign bytes: a kind's word, its limit and its decoder.

Whatever arrives from a peer, a file or a person is decoded here, and a kind that is not
expected at that door is refused before its fields are looked at. Spec: 03.
"""

from collections.abc import Callable
from typing import Any

from node.encoding import cbor
from node.errors import Malformed, TooLarge
from node.objects import message, notification, record
from node.objects.introduction import INTRODUCTION, POLL
from node.objects.receipt import RECEIPT, RETRACTION
from node.objects.signed import Signed

Decoder = Callable[[bytes], Signed[Any]]

KINDS: dict[str, Decoder] = {
    "message": message.KIND.decode,
    "notifications": notification.decode_batch,
    "evidence": notification.decode_evidence,
    "receipt": RECEIPT.decode,
    "retraction": RETRACTION.decode,
    "record": record.decode,
    "introduction": INTRODUCTION.decode,
    "poll": POLL.decode,
}
"""Every kind that stands alone; a notification travels inside its batch."""

_LARGEST = 256 * 1024


def decode(block: bytes) -> Signed[Any]:
    """Foreign bytes of any kind, well formed; the signature is not looked at.

    Raises:
        Malformed: not canonical, of an unknown kind, or not of its form.
    """
    if len(block) > _LARGEST:
        raise TooLarge("larger than any object")
    value = cbor.decode(block)
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise Malformed("not an object of a known kind")
    return KINDS[kind](block)
