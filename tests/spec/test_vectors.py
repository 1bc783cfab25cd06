"""The implementation against the published vectors, byte for byte, good and bad."""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest

from node.crypto import batch as tree
from node.crypto import keys, phrase, sealed, stream, tokens
from node.encoding import car, cbor, cid, names, origin, text
from node.encoding.cid import Cid
from node.errors import Malformed, Unverified, WillcallError
from node.objects import (
    answer,
    backup,
    content,
    message,
    notification,
    record,
    registry,
    report,
)
from node.objects.answer import PollAnswer, Wanted
from node.objects.signed import Signed
from node.services import meet
from node.units import Key
from tests.spec import example, form, make_vectors

PEOPLE = {each["name"]: each for each in form.load("keys.json")["people"]}
OBJECTS = form.load("objects.json")["objects"]
BATCHES = form.load("batches.json")
SEALING = form.load("sealing.json")
TRANSFER = form.load("transfer.json")
REFUSED = form.load("refused.json")["refused"]
FAMILIES: dict[str, type[WillcallError]] = {"malformed": Malformed, "forged": Unverified}


def value_of(written: Any) -> Any:
    """A value of a file as the codec wants it."""
    if isinstance(written, dict):
        if written.keys() == {"hex"}:
            return bytes.fromhex(written["hex"])
        if written.keys() == {"link"}:
            return Cid(form.link_bytes(written["link"]))
        return {name: value_of(item) for name, item in written.items()}
    return [value_of(item) for item in written] if isinstance(written, list) else written


def who(name: str, field: str) -> bytes:
    return bytes.fromhex(PEOPLE[name][field])


@pytest.mark.parametrize("name", make_vectors.FILES)
def test_the_files_are_what_the_generator_writes(name: str) -> None:
    assert (form.FOLDER / name).read_text("utf-8") == form.dump(make_vectors.FILES[name]())


def test_the_worked_example_is_what_the_generator_writes() -> None:
    assert example.PAGE.read_text("utf-8") == example.page()


def test_no_file_is_forgotten() -> None:
    assert {path.name for path in form.FOLDER.iterdir()} == set(make_vectors.FILES)
    bad = len(REFUSED) + len(form.load("encodings.json")["refused"])
    assert bad > 500


# --- keys, spellings ------------------------------------------------------------------


@pytest.mark.parametrize("name", PEOPLE)
def test_keys(name: str) -> None:
    seed = who(name, "seed")
    derived = keys.derive(seed)
    for field in ("signing", "sealing", "recovery"):
        assert getattr(derived, field) == who(name, field)
    assert keys.public(derived.signing) == who(name, "id")
    assert keys.public(derived.recovery) == who(name, "recovery_public")
    assert keys.sealing_public(derived.sealing) == who(name, "sealing_public")
    assert names.did(who(name, "id")) == PEOPLE[name]["did"]
    assert phrase.words(seed) == PEOPLE[name]["phrase"]
    assert phrase.seed(PEOPLE[name]["phrase"]) == seed


def test_encodings() -> None:
    found = form.load("encodings.json")
    for each in found["accepted"]:
        data = form.raw(each["bytes"])
        assert cbor.encode(value_of(each["value"])) == data
        assert cbor.decode(data) == value_of(each["value"])
    for each in found["refused"]:
        with pytest.raises(Malformed):
            cbor.decode(form.raw(each["bytes"]))


def test_spellings() -> None:
    found = form.load("spellings.json")
    checks: dict[str, Callable[[str], Any]] = {
        "names": text.check_name,
        "origins": origin.check,
        "cids": cid.parse,
        "dids": names.parse_did,
        "base64url": names.unb64,
    }
    assert found.keys() == checks.keys()
    for kind, check in checks.items():
        for each in found[kind]["accepted"]:
            if isinstance(each, str):
                check(each)
            else:
                assert check(each["text"]) == bytes.fromhex(each["bytes"])
        for each in found[kind]["refused"]:
            with pytest.raises(Malformed):
                check(each["text"])


# --- objects --------------------------------------------------------------------------


@pytest.mark.parametrize("each", OBJECTS, ids=lambda each: each["name"])
def test_objects(each: dict[str, Any]) -> None:
    block = form.raw(each["bytes"])
    assert cbor.encode(value_of(each["fields"])) == block
    assert cid.show(cid.of_object(block)) == each["cid"]
    assert cid.of_object(block).hex() == each["cid_bytes"]
    if each["kind"] == "notification":
        assert notification.encode(notification.decode(block)) == block
        return
    found = registry.decode(block)
    assert found.verify() is found.claim
    if "successor" not in each["fields"]:
        body = {k: v for k, v in value_of(each["fields"]).items() if k != "sig"}
        signing = who(each["signer"], "signing")
        made = keys.sign(signing, f"willcall/v1/{each['kind']}\0".encode() + cbor.encode(body))
        assert made == value_of(each["fields"]["sig"])


def test_largest_notification() -> None:
    assert max(len(each["bytes"]) // 2 for each in OBJECTS if each["kind"] == "notification") == 512


def items_of(count: int) -> list[bytes]:
    """The rule of the batches: item i names SHA-256(u64be(i))."""
    value = cbor.decode(form.raw(BATCHES["item"]))
    assert isinstance(value, dict)
    digests = [sha256(i.to_bytes(8, "big")).digest() for i in range(count)]
    return [cbor.encode(value | {"message": Cid(cid.OBJECT_PREFIX + digest)}) for digest in digests]


@pytest.mark.parametrize("each", BATCHES["batches"], ids=lambda each: each["count"])
def test_batches(each: dict[str, Any]) -> None:
    items, sender = items_of(each["count"]), Key(who(each["signer"], "id"))
    whole = notification.sign_batch(sender, items, who(each["signer"], "signing"))
    block = notification.encode_batch(whole)
    assert whole.signature.hex() == each["sig"]
    assert tree.root(items).hex() == each["root"]
    assert tree.signing_input(len(items), tree.root(items)).hex() == each["signing_input"]
    assert (len(block), cid.show(cid.of_object(block))) == (each["size"], each["cid"])
    assert each.get("bytes", block.hex()) == block.hex()
    assert notification.decode_batch(block).verify() == whole
    for sig in each["wrong_count_sigs"]:
        wrong = notification.Batch(sender=sender, items=whole.items, signature=bytes.fromhex(sig))
        with pytest.raises(Unverified):
            notification.decode_batch(notification.encode_batch(wrong)).verify()


@pytest.mark.parametrize("each", BATCHES["batches"], ids=lambda each: each["count"])
def test_evidence(each: dict[str, Any]) -> None:
    items, sender = items_of(each["count"]), Key(who(each["signer"], "id"))
    whole = notification.sign_batch(sender, items, who(each["signer"], "signing"))
    proofs = notification.evidence_of(whole)
    for proof in each["evidence"]:
        block = notification.encode_evidence(proofs[proof["index"]])
        assert block.hex() == proof["bytes"]
        found = notification.decode_evidence(block).verify()
        assert [node.hex() for node in found.path] == proof["path"]
        assert tree.leaf(found.item).hex() == proof["leaf"]
    for index, proof in enumerate(proofs):
        block = notification.encode_evidence(proof)
        assert len(block) <= 1024
        assert notification.decode_evidence(block).verify().index == index


def test_items_are_judged_one_by_one() -> None:
    whole = notification.decode_batch(form.raw(BATCHES["mixed"]["bytes"])).verify()
    verdicts = [each if isinstance(each, str) else "ok" for each in notification.judge(whole)]
    assert verdicts == [each["verdict"] for each in BATCHES["mixed"]["items"]]


def test_successions() -> None:
    for each in form.load("records.json")["successions"]:
        known, offered = (
            record.decode(form.raw(each[name])).verify() for name in ("known", "offered")
        )
        assert offered.beats(known) == each["replaces"], each["why"]


# --- refusals -------------------------------------------------------------------------


def _item(data: bytes) -> None:
    notification.decode(data)


def _of_kind(kind: str) -> Callable[[bytes], None]:
    def door(data: bytes) -> None:
        registry.KINDS[kind](data).verify()

    return door


def _check_inside(found: answer.Answer) -> None:
    for each in (found.receipt, found.retraction, found.record, found.introduction):
        if each is not None:
            each.verify()


def _answer(data: bytes) -> None:
    _check_inside(answer.decode(data))


def _answers(data: bytes) -> None:
    for each in answer.decode_all(data, 2):
        _check_inside(each)


def _poll_answer(data: bytes) -> None:
    found = answer.decode_poll(data)
    for batch in found.batches if isinstance(found, PollAnswer) else ():
        batch.verify()


DOORS: dict[str, Callable[[bytes], Any]] = {
    **{kind: _of_kind(kind) for kind in registry.KINDS},
    "item": _item,
    "answer": _answer,
    "answers": _answers,
    "poll-answer": _poll_answer,
    "blocks": answer.decode_wanted,
    "car": car.read,
}


@pytest.mark.parametrize("each", REFUSED, ids=lambda each: f"{each['door']}: {each['why']}")
def test_refused(each: dict[str, Any]) -> None:
    data = form.raw(each["bytes"])
    with pytest.raises(WillcallError) as caught:
        DOORS[each["door"]](data)
    assert isinstance(caught.value, FAMILIES[each["reason"]]), caught.value


def test_forged_ones_are_well_formed() -> None:
    for each in REFUSED:
        if each["reason"] == "forged" and each["door"] in registry.KINDS:
            assert isinstance(registry.decode(form.raw(each["bytes"])), Signed)


# --- sealing --------------------------------------------------------------------------


def test_keys_of_content() -> None:
    author, key = who(SEALING["author"], "id"), bytes.fromhex(SEALING["k"])
    assert sealed.commitment(key, author).hex() == SEALING["commitment"]
    assert sealed.content_key(key, author).hex() == SEALING["content_key"]
    for each in SEALING["boxes"]:
        assert sealed.unbox(bytes.fromhex(each["box"]), [who(each["to"], "sealing")]) == key
    for each in SEALING["refused_boxes"]:
        with pytest.raises(Unverified):
            sealed.unbox(bytes.fromhex(each["box"]), [bytes.fromhex(each["secret"])])


def sealed_again(plain: bytes, created: int) -> tuple[bytes, list[bytes]]:
    """The root and the parts of some content, made anew."""
    author, key = Key(who(SEALING["author"], "id")), bytes.fromhex(SEALING["k"])
    signing = who(SEALING["author"], "signing")
    if message.fits_body(len(plain)):
        root = content.seal_body(key, author, created, plain, signing)  # type: ignore[arg-type]
        return root, []
    count, size = content.part_count(len(plain)), 1 << 20
    made = [
        content.seal_part(key, author, i, count, plain[i * size : (i + 1) * size])
        for i in range(count)
    ]
    parts = [message.Part(cid=each.cid, size=len(each.block)) for each in made]
    root = content.seal_root(key, author, created, len(plain), parts, signing)  # type: ignore[arg-type]
    return root, [each.block for each in made]


@pytest.mark.parametrize("each", SEALING["messages"], ids=lambda each: each["root_size"])
def test_contents(each: dict[str, Any]) -> None:
    plain, key = form.raw(each["plaintext"]), bytes.fromhex(SEALING["k"])
    root, parts = sealed_again(plain, each["created"])
    assert (len(root), cid.show(cid.of_object(root))) == (each["root_size"], each["root_cid"])
    assert each.get("root", root.hex()) == root.hex()
    found = message.KIND.decode(root).verify()
    ciphertexts = [found.body] if found.body is not None else parts
    assert ("body" if found.body is not None else "parts") == each["form"]
    assert len(ciphertexts) == len(each["ciphertexts"])
    for data, told in zip(ciphertexts, each["ciphertexts"], strict=True):
        assert data is not None
        assert (len(data), sha256(data).hexdigest()) == (told["size"], told["sha256"])
        assert data[:16].hex() == told["head"]
        assert told.get("cid", cid.show(cid.of_raw(data))) == cid.show(cid.of_raw(data))
    content.check_key(found, key)
    assert b"".join(content.open_all(found, key, parts)) == plain


@pytest.mark.parametrize("each", SEALING["parts"], ids=lambda each: each["why"])
def test_parts(each: dict[str, Any]) -> None:
    author, key = bytes.fromhex(each["author"]), bytes.fromhex(each["k"])
    arguments = (sealed.content_key(key, author), author, each["index"], each["count"])
    ciphertext = bytes.fromhex(each["ciphertext"])
    if each["reason"] is None:
        sealed.open_part(*arguments, ciphertext)
        return
    with pytest.raises(Unverified):
        sealed.open_part(*arguments, ciphertext)


def pickup_parts(words: list[str]) -> list[bytes]:
    """The ciphertexts that a pickup entry names."""
    blocks = sealed_again(form.pattern((1 << 20) + 1), SEALING["messages"][0]["created"])[1]
    author, key = Key(who("alice", "id")), bytes.fromhex(SEALING["k"])
    made = {
        "0": blocks[0],
        "1": blocks[1],
        "1 without its last byte": blocks[1][:-1],
        "0 sealed as part 1": content.seal_part(key, author, 1, 2, form.pattern(1 << 20)).block,
    }
    return [made[word] for word in words]


def failed_step(each: dict[str, Any]) -> str | None:
    """The recipient's checks, in their order; the first that refuses."""
    root, step = bytes.fromhex(each["root"]), "hash"
    try:
        cid.check(bytes.fromhex(each["message"]), root)
        step = "author"
        found = message.KIND.decode(root)
        if found.claim.author != bytes.fromhex(each["from"]):
            return step
        step = "sizes"
        if found.claim.size != each["size"]:
            return step
        step = "signature"
        claim = found.verify()
        step = "box"
        key = sealed.unbox(bytes.fromhex(each["key"]), [who(each["to"], "sealing")])
        step = "commitment"
        content.check_key(claim, key)
        step = "parts"
        parts = pickup_parts(each["parts"])
        if len(parts) != len(claim.parts):
            return step
        for part, block in zip(claim.parts, parts, strict=True):
            cid.check(part.cid, block)
        list(content.open_all(claim, key, parts))
    except Unverified:
        return step
    return None


@pytest.mark.parametrize("each", SEALING["pickups"], ids=lambda each: each["why"])
def test_pickups(each: dict[str, Any]) -> None:
    assert failed_step(each) == each["step"]


# --- tokens, transfer -----------------------------------------------------------------


def test_tokens() -> None:
    found = form.load("tokens.json")
    for each in found["tickets"]:
        secret, named = who(each["node"], "ticket_key"), form.link_bytes(each["message"])
        ticket = tokens.ticket(secret, named, who(each["to"], "id"))
        assert ticket.hex() == each["ticket"]
        assert f"Willcall {names.b64(ticket)}" == each["authorization"]
    for each in found["capabilities"]:
        secret, issuer = who(each["issuer"], "capability_key"), who(each["issuer"], "id")
        made = tokens.capability(secret, issuer, who(each["holder"], "id"))
        assert made.hex() == each["capability"]
    for each in found["invites"]:
        owner, secret = who(each["owner"], "id"), who(each["owner"], "invite_key")
        token = tokens.invite(secret, owner, bytes.fromhex(each["id"]))
        assert token.hex() == each["token"]
        assert each["link"].endswith(f"/i/{names.z(owner)}#{names.b64(token)}")
        assert len(each["link"]) <= 200
        link = meet.parse_link(each["link"])
        assert (link.did, link.token) == (owner, token)
        proof = tokens.proof(token, who(each["from"], "id"), owner, each["issued"])
        assert proof.hex() == each["proof"]


def test_archives() -> None:
    for each in TRANSFER["archives"]:
        blocks = [(form.link_bytes(name), bytes.fromhex(block)) for name, block in each["blocks"]]
        assert car.write(blocks).hex() == each["bytes"]
        assert car.read(form.raw(each["bytes"])) == blocks


def test_requests() -> None:
    for each in TRANSFER["requests"]:
        wanted = [
            Wanted(ticket=ticket, cids=tuple(cids)) for ticket, cids in value_of(each["value"])
        ]
        assert answer.encode_wanted(wanted).hex() == each["bytes"]
        assert answer.decode_wanted(form.raw(each["bytes"])) == wanted


def test_answers() -> None:
    for each in TRANSFER["answers"]:
        data = form.raw(each["bytes"])
        assert cbor.encode(value_of(each["value"])) == data
        found = answer.decode(data)
        _check_inside(found)
        assert answer.encode(found) == data
    for each in TRANSFER["batch_answers"]:
        data = form.raw(each["bytes"])
        assert answer.encode_all(answer.decode_all(data, each["count"])) == data


def test_poll_answers() -> None:
    for each in TRANSFER["poll_answers"]:
        data = form.raw(each["bytes"])
        assert cbor.encode(value_of(each["value"])) == data
        found = answer.decode_poll(data)
        if isinstance(found, PollAnswer):
            batches = [batch.verify() for batch in found.batches]
            assert answer.encode_poll(found.now, found.more, batches) == data


# --- backups --------------------------------------------------------------------------

BACKUPS = form.load("backup.json")


def records_of(data: bytes, person: str) -> list[backup.Record]:
    file = io.BytesIO(data)
    signed = backup.read_header(file.read)
    return list(backup.open_records(file.read, signed, who(person, "seed")))


@pytest.mark.parametrize("entry", BACKUPS["backups"], ids=lambda entry: entry["name"])
def test_backups(entry: dict[str, Any]) -> None:
    header = bytes.fromhex(entry["header"])
    sealing = stream.Sealing(bytes.fromhex(entry["k"]), bytes.fromhex(entry["stream"]))
    counter, cutter, pieces = backup.Counter(), backup.Cutter(), [backup.begin(header)]
    records = [record_of(each) for each in entry["records"]]
    for each in records:
        if isinstance(each, backup.StoredRow):
            counter.row(backup.encode(each))
        elif isinstance(each, backup.LargeBlock):
            counter.block(each)
        pieces += [sealing.piece(piece, header) for piece in cutter.add(backup.encode(each))]
    for piece in cutter.add(backup.encode(counter.end())):
        pieces.append(sealing.piece(piece, header))
    pieces.append(sealing.piece(cutter.rest(), header, last=True))
    data = b"".join(pieces)
    assert (len(data), sha256(data).hexdigest()) == (entry["size"], entry["sha256"])
    assert data.hex() == entry.get("file", data.hex())
    assert records_of(data, BACKUPS["person"]) == [*records, counter.end()]


def record_of(written: dict[str, Any]) -> backup.Record:
    name = Cid(form.link_bytes(written["cid"])) if "cid" in written else None
    match written["word"]:
        case "file":
            return backup.HomeFile(path=written["path"], data=form.raw(written["data"]))
        case "row":
            key = bytes.fromhex(written["key"])
            return backup.StoredRow(key=key, value=form.raw(written["value"]))
        case _:
            assert name is not None
            data = form.raw(written["data"]) if "data" in written else None
            return backup.LargeBlock(cid=name, data=data)


@pytest.mark.parametrize("entry", BACKUPS["refused"], ids=lambda entry: entry["why"])
def test_refused_backups(entry: dict[str, Any]) -> None:
    with pytest.raises(FAMILIES[entry["reason"]]):
        records_of(bytes.fromhex(entry["file"]), entry["person"])


# --- reports --------------------------------------------------------------------------


@pytest.mark.parametrize("entry", form.load("reports.json")["accepted"], ids=lambda e: e["name"])
def test_reports(entry: Any) -> None:
    assert report.verify(json.dumps(entry["report"]).encode()) == entry["proves"]


@pytest.mark.parametrize("entry", form.load("reports.json")["refused"], ids=lambda e: e["why"])
def test_refused_reports(entry: Any) -> None:
    with pytest.raises(FAMILIES[entry["reason"]]):
        report.verify(json.dumps(entry["report"]).encode())
