"""The vectors of page 13: reports that hold, and what each proves; reports that must not count."""

import json
from collections.abc import Iterator
from typing import Any

from node.encoding import cid, names
from node.objects import notification, report
from node.objects.report import Report
from tests import factories as make
from tests.factories import ALICE, BOB, CAROL

Entry = dict[str, Any]
PLAIN = b"Subject: buy\r\n\r\nbuy\r\n"
ROOT = make.letter(ALICE, PLAIN)
LARGE, _ = make.parcel(ALICE, make.pattern(60_000), "large")
SAID = {
    "source": "192.0.2.7",
    "domain": "example.org",
    "proven": "address",
    "received": "2025-06-15T15:06:40.000Z",
    "promise": "broken",
}


def document() -> Entry:
    """The file."""
    return {"accepted": [_entry(*each) for each in _good()], "refused": list(_refused())}


def _good() -> list[tuple[str, Entry]]:
    return [
        ("one of five, announced", _fields(root=None, key=None)),
        ("alone in its batch, with a record", _fields(evidence=_proof(1), record=_record())),
        ("picked up, of a contact", _fields(evidence=None, said=None)),
        ("without the key", _fields(key=None, said={})),
        ("large", _large()),
    ]


def _large() -> Entry:
    name = cid.show(cid.of_object(LARGE))
    key = names.b64(make.content_key_of("large"))
    return _fields(message=name, evidence=None, root=names.b64(LARGE), key=key)


def _proof(count: int) -> str:
    """Evidence of the last item of a batch of so many."""
    others = [make.item(ALICE, BOB, make.named(n)) for n in range(count - 1)]
    raw = [notification.encode(each) for each in (*others, _item())]
    whole = notification.sign_batch(ALICE.key, raw, ALICE.keys.signing)
    return names.b64(notification.encode_evidence(notification.evidence_of(whole)[-1]))


def _item() -> notification.Notification:
    return make.item(ALICE, BOB, cid.of_object(ROOT), len(PLAIN))


def _record() -> str:
    return names.b64(make.record_block(ALICE))


def _fields(**changes: Any) -> Entry:
    fields: Entry = {
        "willcall_report": 1,
        "message": cid.show(cid.of_object(ROOT)),
        "author": names.did(ALICE.key),
        "evidence": _proof(5),
        "root": names.b64(ROOT),
        "key": names.b64(make.content_key_of("1")),
        "said": SAID,
    }
    return {word: value for word, value in (fields | changes).items() if value is not None}


def _entry(name: str, fields: Entry) -> Entry:
    file = report.print_json(Report(**fields)).decode()
    return {"name": name, "report": json.loads(file), "proves": report.verify(file.encode())}


def _refused() -> Iterator[Entry]:
    for reason, why, changes in _cases():
        yield {"reason": reason, "why": why, "report": _fields(**changes)}


def _cases() -> Iterator[tuple[str, str, Entry]]:
    yield "malformed", "another form", {"willcall_report": 2}
    yield "malformed", "an unknown member", {"more": "x"}
    yield "malformed", "evidence that is none", {"evidence": names.b64(b"\xa0")}
    yield "malformed", "padded base64url", {"key": names.b64(make.content_key_of("1")) + "="}
    yield "malformed", "a message that is no CID", {"message": "nonsense"}
    yield "forged", "nothing that its author signed", {"evidence": None, "root": None, "key": None}
    yield "forged", "another author", {"author": names.did(CAROL.key)}
    yield "forged", "another message", {"message": cid.show(make.named(9))}
    yield "forged", "another's record", {"record": names.b64(make.record_block(CAROL))}
    yield "forged", "a record nobody signed", {"record": _spoiled(make.record_block(ALICE))}
    yield "forged", "evidence with another signature", {"evidence": _unsigned()}
    yield "forged", "another root", {"root": names.b64(make.letter(ALICE, PLAIN, "2"))}
    yield "forged", "another key", {"key": names.b64(bytes(32))}


def _spoiled(block: bytes) -> str:
    """With another name inside."""
    assert b"alice" in block
    return names.b64(block.replace(b"alice", b"alicf"))


def _unsigned() -> str:
    whole = notification.sign_batch(ALICE.key, [notification.encode(_item())], CAROL.keys.signing)
    return names.b64(notification.encode_evidence(notification.evidence_of(whole)[0]))
