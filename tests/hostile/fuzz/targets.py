"""What a fuzzer feeds: each decoder of foreign bytes, with what must hold of whatever it takes.

A target takes any bytes. It may refuse them with a `WillcallError` of the two kinds that pure code
knows; what it takes must print back as it was. Anything else is a finding.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from ipaddress import ip_network

import h11

from node.archive import entry, note, tile
from node.asgi import Scope
from node.crypto import keys
from node.discovery import webfinger
from node.encoding import car, cbor, cid, names, origin, text
from node.errors import Malformed, Unverified, Usage
from node.mail import display, mbox, people, scan, thread, words
from node.objects import answer, backup, notification, registry
from node.server.admission import ServerLimits, source
from node.server.heads import parse
from node.services import meet
from node.units import Instant
from tests.factories import ALICE
from tests.hostile.catalogue import FOLDER, hexed, joined, latin, load
from tests.spec import form

Run = Callable[[bytes], None]
REFUSED = (Malformed, Unverified)
SHOWN = frozenset(map(chr, (*range(9), *range(0x0B, 0x20), *range(0x7F, 0xA0), 0x202E)))
"""What never reaches a terminal."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder.

    Attributes:
        run: raises what is a finding.
        seeds: where a search begins.
    """

    run: Run
    seeds: tuple[bytes, ...]


def vectors() -> dict[str, list[bytes]]:
    """The published objects, good and bad, by kind or door."""
    made: dict[str, list[bytes]] = {}
    for each in form.load("objects.json")["objects"]:
        made.setdefault(each["kind"], []).append(form.raw(each["bytes"]))
    for each in form.load("refused.json")["refused"]:
        made.setdefault(each["door"], []).append(form.raw(each["bytes"]))
    transfer = form.load("transfer.json")
    for door, key in (
        ("blocks", "requests"),
        ("answer", "answers"),
        ("poll-answer", "poll_answers"),
    ):
        made.setdefault(door, []).extend(form.raw(each["bytes"]) for each in transfer[key])
    made["car"].extend(form.raw(each["bytes"]) for each in transfer["archives"])
    made["answers"].extend(form.raw(each["bytes"]) for each in transfer["batch_answers"])
    return made


# --- objects and what carries them --------------------------------------------------------


def value(data: bytes) -> None:
    with suppress(*REFUSED):
        assert cbor.encode(cbor.decode(data)) == data


def kind(name: str) -> Run:
    def run(data: bytes) -> None:
        with suppress(*REFUSED):
            found = registry.KINDS[name](data)
            assert found.block == data
            found.verify()

    return run


def item(data: bytes) -> None:
    with suppress(*REFUSED):
        assert notification.encode(notification.decode(data)) == data


def batch(data: bytes) -> None:
    with suppress(*REFUSED):
        found = notification.decode_batch(data)
        assert len(notification.judge(found.claim)) == len(found.claim.items)
        assert notification.encode_batch(found.claim) == data


def one_answer(data: bytes) -> None:
    with suppress(*REFUSED):
        assert answer.encode(answer.decode(data)) == data
    with suppress(*REFUSED):
        answer.decode_all(data, 2)
    with suppress(*REFUSED):
        answer.decode_poll(data)


def wanted(data: bytes) -> None:
    with suppress(*REFUSED):
        assert answer.encode_wanted(answer.decode_wanted(data)) == data


def archive(data: bytes) -> None:
    with suppress(*REFUSED):
        assert car.write(car.read(data)) == data


# --- archives, backups ----------------------------------------------------------------------

LOG = note.Verifier(name="127.0.0.1:4625/archives/cats/1", key=keys.public(bytes(range(32))))


def checkpoint(data: bytes) -> None:
    with suppress(*REFUSED):
        note.verify(data, LOG)
    said = data.decode("utf-8", "replace")
    with suppress(*REFUSED):
        assert str(note.parse_verifier(said)) == said
    with suppress(*REFUSED):
        assert tile.path(tile.parse(said)) == said


def entries(data: bytes) -> None:
    with suppress(*REFUSED):
        assert entry.encode(entry.decode(data)) == data
    with suppress(*REFUSED):
        assert entry.bundle(entry.unbundle(data[1:], data[0] if data else 1)) == data[1:]


def backups(data: bytes) -> None:
    file = BytesIO(data)
    with suppress(*REFUSED):
        signed = backup.read_header(file.read)
        for _ in backup.open_records(file.read, signed, ALICE.seed):
            pass
    with suppress(*REFUSED):
        for each in backup.records([data]):
            assert backup.encode(each) in data


# --- texts ------------------------------------------------------------------------------------


def spellings(data: bytes) -> None:
    said = data.decode("utf-8", "replace")
    with suppress(*REFUSED):
        host, port = origin.split(said)
        assert said in (f"{host}:{port}", f"[{host}]:{port}")
    with suppress(*REFUSED):
        assert cid.show(cid.parse(said)) == said
    with suppress(*REFUSED):
        assert names.did(names.parse_did(said)) == said
    with suppress(*REFUSED):
        assert names.b64(names.unb64(said)) == said
    with suppress(*REFUSED):
        text.check_name(said)
        assert said == said.strip()
    with suppress(Usage):
        link = meet.parse_link(said)
        origin.check(link.origin)


def domains(data: bytes) -> None:
    anna = webfinger.Handle(name="anna", domain="example.org")
    with suppress(*REFUSED):
        place = webfinger.read(data, anna)
        if place is not None:
            origin.check(place.origin)
    with suppress(*REFUSED):
        handle, _ = webfinger.asked(data.decode("latin-1"))
        if handle is not None:
            assert webfinger.asked(webfinger.question(handle).partition("?")[2])[0] == handle


# --- mail -------------------------------------------------------------------------------------


def check_shown(parts: Iterable[str | None]) -> None:
    for part in parts:
        assert part is None or SHOWN.isdisjoint(part), part


def mail(data: bytes) -> None:
    found = scan.scan(data)
    check_shown((found.subject, found.sender, found.message_id))
    assert found.date is None or found.date >= 0
    reply = thread.answer(data)
    check_shown((reply.subject, reply.in_reply_to, *reply.references))
    thread.addressed(data)


def shown(data: bytes) -> None:
    made = display.display(data)
    check_shown((made.text, *made.marks, *(word for pair in made.headers for word in pair)))
    check_shown(each.name for each in made.attachments)
    for file in display.files(data).files:
        assert file.name not in ("", ".", "..")
        assert not {"/", "\\", "\0"} & set(file.name)


def markup(data: bytes) -> None:
    shown(b"Content-Type: text/html; charset=utf-8\n\n" + data)


def mailboxes(data: bytes) -> None:
    for dialect in mbox.DIALECTS:
        with suppress(*REFUSED):
            whole = list(mbox.split([data], dialect=dialect))
            pieces = [data[at : at + 7] for at in range(0, len(data), 7)]
            assert list(mbox.split(pieces, dialect=dialect)) == whole
    mbox.sniff(data)
    written = b"".join(mbox.join([(ALICE_WROTE, data)]))
    (back,) = mbox.split([written])
    assert back in (data, data + b"\n")


ALICE_WROTE = Instant(1_700_000_000_000)


def fields(data: bytes) -> None:
    said = data.decode("utf-8", "replace")
    for address in people.read(said):
        with suppress(*REFUSED):
            spelled = people.spell(address)
            # A name at an address has two spellings, and leads nowhere in both.
            assert people.read(spelled) == [address] or not address.startswith("did:")
    check_shown((scan.shown(data),))
    clean = said.replace("\r", "").replace("\n", "")
    if clean.isprintable():
        assert words.decode(" ".join(words.encode(clean))) == clean


# --- HTTP ---------------------------------------------------------------------------------------


def heads(data: bytes) -> None:
    """A head as the public port reads it, and what it believes of the client's address."""
    with suppress(h11.RemoteProtocolError):
        head = parse(data, ServerLimits())
        assert head.length >= 0
        scope: Scope = {"client": ("10.0.0.1", 1), "headers": head.fields}
        assert len(source(scope, [ip_network("10.0.0.0/8")])) <= 45


def _targets() -> Mapping[str, Target]:
    known = vectors()
    spelled = [case["text"].encode("utf-8", "replace") for case in load("spellings.json")]
    noted = [joined(case["text"]).encode() for case in load("archives.json")]
    letters = [latin(case["bytes"])[:4_096] for case in load("mail.json")]
    runs: dict[str, tuple[Run, Iterable[bytes]]] = {
        "value": (value, [hexed(case["bytes"])[:4_096] for case in load("cbor.json")]),
        **{name: (kind(name), known[name]) for name in registry.KINDS if name != "notifications"},
        "notifications": (batch, known["notifications"]),
        "item": (item, [*known["item"], *known["notification"]]),
        "answer": (one_answer, [*known["answer"], *known["answers"], *known["poll-answer"]]),
        "blocks": (wanted, known["blocks"]),
        "car": (archive, known["car"]),
        "checkpoint": (checkpoint, noted),
        "entry": (entries, known["message"][:4]),
        "backup": (backups, [backup.MAGIC, b"\0\0\0\x01\xa0"]),
        "spelling": (spellings, spelled),
        "webfinger": (domains, [latin(case["body"])[:4_096] for case in load("webfinger.json")]),
        "mail": (mail, letters),
        "display": (shown, letters),
        "markup": (markup, [b"<a href=x>b</a><script>c</script>&#65;<!-- d -->"]),
        "mbox": (mailboxes, [latin(case["bytes"])[:4_096] for case in load("mbox.json")]),
        "field": (fields, [*spelled, b'"A, B" <a@b>, =?utf-8?Q?a?= (c) <z6Mk@[willcall:a:1]>']),
        "head": (heads, [latin(case["send"])[:4_096] for case in load("http.json")]),
    }
    return {name: Target(run, tuple(dict.fromkeys(seeds))) for name, (run, seeds) in runs.items()}


TARGETS = _targets()
SAVED = FOLDER.parent / "fuzz" / "saved"


def saved(name: str) -> list[bytes]:
    """What a fuzzer found of a target once, and what it never shall again."""
    return [path.read_bytes() for path in sorted((SAVED / name).glob("*"))]


def keep(name: str, data: bytes) -> None:
    """Writes a finding, under its hash."""
    folder = SAVED / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sha256(data).hexdigest()[:16]).write_bytes(data)
