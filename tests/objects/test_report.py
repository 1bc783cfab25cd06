"""A report stands alone, and what was changed in it shows."""

import json
from typing import Any

import pytest

from node.encoding import cid as cids
from node.encoding import names
from node.errors import Malformed, Unverified, WillcallError
from node.objects import content, notification, report
from node.objects.report import Report
from tests import factories as make
from tests.factories import ALICE, BOB

KEY = b"k" * 32
ROOT = content.seal_body(
    KEY, ALICE.key, make.NOW, b"Subject: buy\r\n\r\nbuy\r\n", ALICE.keys.signing
)
NAME = cids.of_object(ROOT)


def made(**changes: Any) -> bytes:
    items = [notification.encode(make.item(ALICE, BOB, NAME))]
    whole = notification.sign_batch(ALICE.key, items, ALICE.keys.signing)
    proof = notification.encode_evidence(notification.evidence_of(whole)[0])
    fields: dict[str, Any] = {
        "willcall_report": 1,
        "message": cids.show(NAME),
        "author": names.did(ALICE.key),
        "evidence": names.b64(proof),
        "root": names.b64(ROOT),
        "key": names.b64(KEY),
        "said": {"source": "192.0.2.7"},
    }
    return report.print_json(Report(**(fields | changes)))


def test_what_it_proves() -> None:
    proved = report.verify(made())
    assert proved["author"] == names.did(ALICE.key)
    assert proved["to"] == names.did(BOB.key)
    assert proved["text"].endswith("buy\r\n")
    assert proved["said"] == {"source": "192.0.2.7"}


def test_where_it_came_from_is_said_by_the_notification_alone() -> None:
    record = names.b64(make.record_block(ALICE))
    assert report.verify(made(record=record))["lists_origin"] is True
    assert report.verify(made(record=record, evidence=None))["lists_origin"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"author": names.did(BOB.key)},
        {"message": cids.show(make.named(9))},
        {"key": names.b64(b"x" * 32)},
        {"evidence": None, "root": None},
        {"record": names.b64(b"\xa0")},
        {"willcall_report": 2},
        {"root": names.b64(ROOT[:-1])},
    ],
)
def test_what_was_changed_shows(changes: dict[str, Any]) -> None:
    with pytest.raises((Malformed, Unverified)):
        report.verify(made(**changes))


def test_no_bytes_of_it_can_be_changed() -> None:
    found = json.loads(made())
    for word in ("evidence", "root"):
        block = bytearray(names.unb64(found[word]))
        for at in range(0, len(block), 7):
            block[at] ^= 1
            spoiled = found | {word: names.b64(bytes(block))}
            with pytest.raises(WillcallError):
                report.verify(json.dumps(spoiled).encode())
            block[at] ^= 1


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"\xff", b'{"willcall_report":1}', b" " * 300_000]
)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(Malformed):
        report.verify(data)
