"""What is no value, text, address, name, note or answer is refused, for the stated reason."""

from collections import Counter
from collections.abc import Callable
from itertools import chain

import pytest

from node.archive import note, tile
from node.client.guard import PORTS, Allowed, judge
from node.crypto import keys
from node.discovery import webfinger
from node.encoding import car, cbor, cid, names, origin, text
from node.errors import Malformed, Unreachable, WillcallError
from node.mail.compose import Attachment, Mailbox, compose
from node.mail.display import file_name
from node.objects import answer, backup, notification, registry
from node.services import meet
from node.units import Instant
from tests.hostile.catalogue import FOLDER, Case, hexed, joined, latin, load, title
from tests.spec import form

Z = "z6Mkhr3VW6MD45X9hqxmjXZbvC23ij6Vxqb9tPEpMwYkW6aW"
CID = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
NAME = "127.0.0.1:4625/archives/cats/1"
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
LOG = note.Verifier(name=NAME, key=keys.public(bytes(range(32))))
ANNA = webfinger.Handle(name="anna", domain="example.org")


def a_letter(*, to: str = "Ben", subject: str = "hi", file: str = "a.txt") -> bytes:
    someone = Mailbox(name=to, address="ben@example.org")
    return compose(
        sender=someone,
        to=[someone],
        subject=subject,
        text="hello",
        date=Instant(0),
        message_id="<a@b>",
        attachments=[Attachment(name=file, type="text/plain", data=b"x")],
    )


DOORS: dict[str, Callable[[str], object]] = {
    "origin": origin.check,
    "did": names.parse_did,
    "cid": cid.parse,
    "base64url": names.unb64,
    "name": text.check_name,
    "handle": webfinger.parse,
    "link": meet.parse_link,
    "subject": lambda words: a_letter(subject=words),
    "recipient": lambda words: a_letter(to=words),
    "attachment": lambda words: a_letter(file=words),
    "tile": tile.parse,
    "vkey": note.parse_verifier,
    "checkpoint": lambda words: note.verify(words.encode(), LOG),
}
RIGHT = {
    "origin": "example.org:443",
    "did": f"did:key:{Z}",
    "cid": CID,
    "base64url": "AAAA",
    "name": "Anna",
    "handle": "anna@example.org",
    "link": f"https://example.org:4625/i/{Z}#{'A' * 22}",
    "subject": "hi",
    "recipient": "Ben",
    "attachment": "a.txt",
    "tile": "tile/0/000",
    "vkey": VKEY,
    "checkpoint": note.sign(
        note.Checkpoint(origin=NAME, size=7, root=bytes(32)), bytes(range(32))
    ).decode(),
}
"""What the bad texts were made of: each door opens to it."""


def reason(work: Callable[[], object]) -> str | None:
    """Why it was refused; None: it was not. Any other error is a failure of the test."""
    try:
        work()
    except WillcallError as error:
        return error.reason
    return None


@pytest.mark.parametrize("door", DOORS)
def test_each_door_opens_to_what_is_right(door: str) -> None:
    DOORS[door](RIGHT[door])


@pytest.mark.parametrize("case", load("spellings.json"), ids=title)
def test_spellings(case: Case) -> None:
    assert reason(lambda: DOORS[case["door"]](case["text"])) == case["reason"]


@pytest.mark.parametrize("case", load("archives.json"), ids=title)
def test_archives(case: Case) -> None:
    assert reason(lambda: DOORS[case["door"]](joined(case["text"]))) == case["reason"]


@pytest.mark.parametrize("case", load("addresses.json"), ids=title)
def test_addresses(case: Case) -> None:
    words = case["allowed"]
    allowed = Allowed(loopback="loopback" in words, private="private" in words, ports=PORTS)
    with pytest.raises(Unreachable) as caught:
        judge(case["host"], case["port"], case["answers"], allowed)
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", load("filenames.json"), ids=title)
def test_file_names(case: Case) -> None:
    assert file_name(case["name"], "part-1") == case["saved"]


@pytest.mark.parametrize("case", load("webfinger.json"), ids=title)
def test_answers_of_domains(case: Case) -> None:
    assert reason(lambda: webfinger.read(latin(case["body"]), ANNA)) == case["reason"]


BINARY: dict[str, Callable[[bytes], object]] = {
    "value": cbor.decode,
    "object": registry.decode,
    **registry.KINDS,
    "item": notification.decode,
    "answer": answer.decode,
    "answers": lambda data: answer.decode_all(data, 2),
    "poll-answer": answer.decode_poll,
    "blocks": answer.decode_wanted,
    "car": lambda data: car.read(bytes([len(data) % 128]) + data),
    "record of a backup": lambda data: list(backup.records([len(data).to_bytes(4, "big") + data])),
}


@pytest.mark.parametrize("case", load("cbor.json"), ids=title)
def test_values(case: Case) -> None:
    data = hexed(case["bytes"])
    for door, opened in BINARY.items():
        with pytest.raises(Malformed):
            raise AssertionError(f"{door} took {opened(data)!r}")


def test_how_many(figure: Callable[[str], None]) -> None:
    found = Counter({path.stem: len(load(path.name)) for path in FOLDER.glob("*.json")})
    # Refused objects and encodings are the specification's own.
    found["objects"] = len(form.load("refused.json")["refused"])
    found["encodings"] = len(form.load("encodings.json")["refused"])
    found["vectors of spellings"] = sum(
        len(each["refused"]) for each in form.load("spellings.json").values()
    )
    assert sum(found.values()) > 1_500
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    figure(f"bad inputs: {sum(found.values()):,} ({told})")


def test_no_case_is_there_twice() -> None:
    for path in FOLDER.glob("*.json"):
        said = [sorted((k, str(v)) for k, v in c.items() if k != "why") for c in load(path.name)]
        assert len(said) == len(set(map(str, said))), path.name
        assert all(case["why"] for case in chain(load(path.name)))
