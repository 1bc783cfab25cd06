"""A second reading of the vectors, which shares nothing with `node/`.

CBOR by dag-cbor, CIDs and did:key by multiformats, Ed25519 by cryptography, HMAC and SHA-256
by the standard library; libsodium only for XChaCha20-Poly1305 and sealed boxes. Written from
the pages in docs/spec. It reads what is good; what must be refused is the implementation's.
"""

import base64
import hmac
from hashlib import blake2b, sha256
from typing import Any

import dag_cbor
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from mnemonic import Mnemonic
from multiformats import CID, multibase
from nacl import bindings
from nacl.public import PrivateKey, SealedBox

from tests.spec import form

MIB = 1 << 20
PREFIX = b"willcall/v1/"


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.new(key, message, sha256).digest()


def u64(number: int) -> bytes:
    """8 bytes, big end first."""
    return number.to_bytes(8, "big")


def public(seed: bytes) -> bytes:
    """The Ed25519 public key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def holds(key: bytes, message: bytes, sig: bytes) -> None:
    """Raises unless the signature holds."""
    Ed25519PublicKey.from_public_bytes(key).verify(sig, message)


def name_of(codec: str, block: bytes) -> CID:
    """CIDv1, sha2-256."""
    return CID("base32", 1, codec, ("sha2-256", sha256(block).digest()))


def decoded(data: bytes) -> Any:
    """The value, whose encoding is the one these bytes are."""
    value = dag_cbor.decode(data)
    assert dag_cbor.encode(value) == data
    return value


def same(value: Any, written: Any) -> bool:
    """Whether a decoded value is what the file says."""
    if isinstance(written, dict):
        if written.keys() == {"hex"}:
            return isinstance(value, bytes) and value.hex() == written["hex"]
        if written.keys() == {"link"}:
            return isinstance(value, CID) and str(value.set(base="base32")) == written["link"]
        inside = all(same(value[key], item) for key, item in written.items())
        return value.keys() == written.keys() and inside
    if isinstance(written, list):
        return len(value) == len(written) and all(map(same, value, written))
    return type(value) is type(written) and value == written


# --- keys -----------------------------------------------------------------------------


def check_keys() -> None:
    """Seed, derivation, phrase, did."""
    for who in form.load("keys.json")["people"]:
        seed = bytes.fromhex(who["seed"])
        for word in ("signing", "sealing", "recovery"):
            assert mac(seed, PREFIX + b"seed/" + word.encode()).hex() == who[word]
        assert public(bytes.fromhex(who["signing"])).hex() == who["id"]
        assert public(bytes.fromhex(who["recovery"])).hex() == who["recovery_public"]
        sealing = X25519PrivateKey.from_private_bytes(bytes.fromhex(who["sealing"]))
        assert sealing.public_key().public_bytes_raw().hex() == who["sealing_public"]
        printed = multibase.encode(b"\xed\x01" + bytes.fromhex(who["id"]), "base58btc")
        assert who["did"] == "did:key:" + printed
        assert Mnemonic("english").to_mnemonic(seed) == who["phrase"]


def check_compared() -> None:
    """Six words from two ids: 66 bits of Argon2id 1.3, 3 passes, 64 MiB, one lane."""
    ids = {name: who["id"] for name, who in people().items()}
    words = Mnemonic("english").wordlist
    for each in form.load("keys.json")["compared"]:
        slow = Argon2id(
            salt=b"willcall/compare", length=16, iterations=3, lanes=1, memory_cost=65_536
        )
        bits = int.from_bytes(
            slow.derive(b"".join(sorted(ids[name] for name in each["between"]))), "big"
        )
        places = [bits >> shift & 2047 for shift in (117, 106, 95, 84, 73, 62)]
        assert each["words"] == " ".join(words[place] for place in places)


def people() -> dict[str, dict[str, bytes]]:
    """The people's bytes."""
    return {
        who["name"]: {
            field: bytes.fromhex(text)
            for field, text in who.items()
            if field not in ("name", "phrase", "did")
        }
        for who in form.load("keys.json")["people"]
    }


# --- objects --------------------------------------------------------------------------


def check_object(value: Any, signer: bytes | None = None) -> None:
    """The signatures of one map."""
    kind = value["kind"]
    if kind == "notifications":
        holds(value["from"], batch_input(value["items"]), value["sig"])
        return
    body = dag_cbor.encode({k: v for k, v in value.items() if k not in ("sig", "cosig")})
    who = value.get("author") or value.get("id") or value.get("from")
    assert signer in (None, who)
    if "successor" in value:
        signed = PREFIX + b"record-recovery\0" + body
        holds(value["recovery"], signed, value["sig"])
        holds(value["id"], signed, value["cosig"])
        return
    holds(who, PREFIX + kind.encode() + b"\0" + body, value["sig"])


def check_objects() -> None:
    """Encodings, names, signatures."""
    known = people()
    for each in form.load("objects.json")["objects"]:
        block = form.raw(each["bytes"])
        value = decoded(block)
        assert same(value, each["fields"])
        name = name_of("dag-cbor", block)
        assert (str(name), bytes(name).hex()) == (each["cid"], each["cid_bytes"])
        if each["kind"] != "notification":
            check_object(value, known[each["signer"]]["id"])
        if each["kind"] == "introduction":
            check_object(decoded(value["record"]))


def tree(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1 over hashed leaves."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return sha256(b"\1" + tree(leaves[:split]) + tree(leaves[split:])).digest()


def batch_input(items: list[bytes]) -> bytes:
    """What the signature of a batch covers."""
    root = tree([sha256(b"\0" + item).digest() for item in items])
    return PREFIX + b"notifications\0" + u64(len(items)) + root


def climbed(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root above a leaf, by recursion from the top instead of the RFC's loop."""
    if size == 1:
        assert not path
        return leaf
    split = 1
    while 2 * split < size:
        split *= 2
    if index < split:
        below = climbed(leaf, index, split, path[:-1])
        return sha256(b"\1" + below + path[-1]).digest()
    below = climbed(leaf, index - split, size - split, path[:-1])
    return sha256(b"\1" + path[-1] + below).digest()


def check_batches() -> None:
    """Batches rebuilt from their rule, and the evidence of some items."""
    found, known = form.load("batches.json"), people()
    rule = decoded(form.raw(found["item"]))
    for each in found["batches"]:
        items = []
        for i in range(each["count"]):
            digest = sha256(u64(i)).digest()
            link = CID("base32", 1, "dag-cbor", ("sha2-256", digest))
            items.append(dag_cbor.encode({**rule, "message": link}))
        signed, key = batch_input(items), known[each["signer"]]["id"]
        assert signed.hex() == each["signing_input"]
        assert signed[-32:].hex() == each["root"]
        holds(key, signed, bytes.fromhex(each["sig"]))
        whole: Any = {"kind": "notifications", "v": 1, "from": key, "items": items}
        block = dag_cbor.encode(whole | {"sig": bytes.fromhex(each["sig"])})
        assert str(name_of("dag-cbor", block)) == each["cid"]
        assert len(block) == each["size"]
        for proof in each["evidence"]:
            check_evidence(form.raw(proof["bytes"]), items[proof["index"]])


def check_evidence(block: bytes, item: bytes) -> None:
    """One notification that stands alone."""
    proof = decoded(block)
    assert proof["item"] == item
    leaf = sha256(b"\0" + item).digest()
    root = climbed(leaf, proof["index"], proof["size"], list(proof.get("path", [])))
    signed = PREFIX + b"notifications\0" + u64(proof["size"]) + root
    holds(decoded(item)["from"], signed, proof["sig"])


# --- sealing --------------------------------------------------------------------------


def check_sealing() -> None:
    """Commitment, boxes, ciphertexts of every shape, roots."""
    found, known = form.load("sealing.json"), people()
    author, key = known[found["author"]]["id"], bytes.fromhex(found["k"])
    assert mac(key, PREFIX + b"commitment\0" + author).hex() == found["commitment"]
    cipher = mac(key, PREFIX + b"content\0" + author)
    assert cipher.hex() == found["content_key"]
    for box in found["boxes"]:
        check_box(box, key, known[box["to"]])
    for each in found["messages"]:
        check_contents(each, author, cipher)


def check_box(box: dict[str, Any], key: bytes, to: dict[str, bytes]) -> None:
    """libsodium opens it, and it follows from the ephemeral secret."""
    data = bytes.fromhex(box["box"])
    assert SealedBox(PrivateKey(to["sealing"])).decrypt(data) == key
    secret = bytes.fromhex(box["ephemeral"])
    mine = X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
    nonce = blake2b(mine + to["sealing_public"], digest_size=24).digest()
    assert data == mine + bindings.crypto_box(key, nonce, to["sealing_public"], secret)


def check_contents(each: dict[str, Any], author: bytes, cipher: bytes) -> None:
    """Every part by its rule, and the root where the file has it."""
    plain = form.raw(each["plaintext"])
    pieces = [plain[at : at + MIB] for at in range(0, len(plain), MIB)] or [b""]
    assert (len(plain) + 16 <= 48 * 1024) == (each["form"] == "body")
    assert len(pieces) == len(each["ciphertexts"])
    sealed = []
    for i, piece in enumerate(pieces):
        associated = PREFIX + b"part\0" + author + u64(i) + u64(len(pieces))
        nonce = bytes(16) + u64(i)
        sealed.append(
            bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(piece, associated, nonce, cipher)
        )
    for data, told in zip(sealed, each["ciphertexts"], strict=True):
        assert (len(data), sha256(data).hexdigest()) == (told["size"], told["sha256"])
        assert data[:16].hex() == told["head"]
    if "root" in each:
        check_root(each, form.raw(each["root"]), len(plain), sealed)


def check_root(each: dict[str, Any], block: bytes, size: int, sealed: list[bytes]) -> None:
    """The root says what its ciphertexts are."""
    root = decoded(block)
    check_object(root)
    assert (root["size"], root["cipher"]) == (size, "xchacha20poly1305")
    assert str(name_of("dag-cbor", block)) == each["root_cid"]
    if each["form"] == "body":
        assert [root["body"]] == sealed
        return
    told = [(part["cid"], part["size"]) for part in root["parts"]]
    assert told == [(name_of("raw", data), len(data)) for data in sealed]


# --- tokens, transfer -----------------------------------------------------------------


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def check_tokens() -> None:
    """Ticket, capability, invite, proof."""
    found, known = form.load("tokens.json"), people()
    for each in found["tickets"]:
        node, to = known[each["node"]], known[each["to"]]
        named = bytes(CID.decode(each["message"]))
        ticket = mac(node["ticket_key"], PREFIX + b"ticket\0" + named + to["id"])[:16]
        assert ticket.hex() == each["ticket"]
        assert each["authorization"] == f"Willcall {b64(ticket)}"
    for each in found["capabilities"]:
        issuer, holder = known[each["issuer"]], known[each["holder"]]
        message = PREFIX + b"capability\0" + issuer["id"] + holder["id"]
        assert mac(issuer["capability_key"], message)[:16].hex() == each["capability"]
    for each in found["invites"]:
        owner, id = known[each["owner"]], bytes.fromhex(each["id"])
        token = id + mac(owner["invite_key"], PREFIX + b"invite\0" + owner["id"] + id)[:12]
        assert token.hex() == each["token"]
        assert each["link"].partition("#")[2] == b64(token)
        sender = known[each["from"]]["id"]
        message = PREFIX + b"introduction\0" + sender + owner["id"] + u64(each["issued"])
        assert mac(token, message).hex() == each["proof"]


def frames(data: bytes) -> list[bytes]:
    """The frames of a CAR, each after its length as an unsigned varint."""
    found, at = [], 0
    while at < len(data):
        size = shift = 0
        while data[at] & 0x80:
            size |= (data[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
        size |= data[at] << shift
        found.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return found


def check_transfer() -> None:
    """Archives, requests and answers."""
    found = form.load("transfer.json")
    for each in found["archives"]:
        header, *blocks = frames(form.raw(each["bytes"]))
        roots = [CID.decode(name) for name, _ in each["blocks"]]
        assert decoded(header) == {"version": 1, "roots": roots}
        for block, root, (_, data) in zip(blocks, roots, each["blocks"], strict=True):
            assert block == bytes(root) + bytes.fromhex(data)
            assert root == name_of("dag-cbor" if data[:1] == "a" else "raw", block[36:])
    for kind in ("requests", "answers", "poll_answers"):
        for each in found[kind]:
            value = decoded(form.raw(each["bytes"]))
            assert same(value, each["value"])
            if kind != "requests":
                check_answer(value)
    for each in found["batch_answers"]:
        answers = decoded(form.raw(each["bytes"]))
        assert len(answers) == each["count"]
        for value in answers:
            check_answer(value)


def check_answer(value: Any) -> None:
    """The objects inside an answer."""
    for name in ("receipt", "retraction", "record", "introduction"):
        if name in value:
            check_object(value[name])
    for batch in value.get("batches", ()):
        check_object(batch)


def check_example() -> None:
    """The worked example, from seed to receipt."""
    step = {
        each["name"]: bytes.fromhex(each["bytes"]) for each in form.load("example.json")["steps"]
    }
    for name in ("Alice", "Bob"):
        seed = step[f"{name}: seed"]
        assert mac(seed, PREFIX + b"seed/signing") == step[f"{name}: signing seed"]
        assert mac(seed, PREFIX + b"seed/sealing") == step[f"{name}: sealing secret"]
        assert public(step[f"{name}: signing seed"]) == step[f"{name}: id"]
        check_object(decoded(step[f"{name}: record"]), step[f"{name}: id"])
    alice, bob, key = step["Alice: id"], step["Bob: id"], step["K"]
    cipher = mac(key, PREFIX + b"content\0" + alice)
    associated = PREFIX + b"part\0" + alice + u64(0) + u64(1)
    assert (cipher, associated) == (step["Content key"], step["Associated data"])
    opened = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
        step["Ciphertext"], associated, bytes(24), cipher
    )
    assert opened == step["Content"]
    root, named = decoded(step["Root"]), step["The name in bytes"]
    check_object(root, alice)
    assert root["body"] == step["Ciphertext"]
    assert root["commitment"] == mac(key, PREFIX + b"commitment\0" + alice)
    assert named == bytes(name_of("dag-cbor", step["Root"]))
    whole, item = decoded(step["Batch"]), decoded(step["Notification"])
    check_object(whole)
    assert whole["items"] == [step["Notification"]]
    assert (item["from"], item["to"], bytes(item["message"])) == (alice, bob, named)
    assert item["size"] == root["size"] == len(step["Content"])
    assert SealedBox(PrivateKey(step["Bob: sealing secret"])).decrypt(item["key"]) == key
    check_evidence(step["Evidence"], step["Notification"])
    assert decoded(step["Answer"]) == [{"state": "accepted"}]
    ((ticket, (wanted,)),) = decoded(step["Block request"])
    assert (ticket, bytes(wanted)) == (item["ticket"], named)
    assert frames(step["CAR"])[1] == named + step["Root"]
    check_object(decoded(step["Receipt"]), bob)


def check_encodings() -> None:
    """Values and their bytes."""
    for each in form.load("encodings.json")["accepted"]:
        assert same(decoded(form.raw(each["bytes"])), each["value"])


def check_spellings() -> None:
    """CIDs, keys and base64url."""
    found = form.load("spellings.json")
    for each in found["cids"]["accepted"]:
        assert bytes(CID.decode(each["text"])).hex() == each["bytes"]
    for each in found["dids"]["accepted"]:
        assert multibase.decode(each["text"][8:]).hex() == "ed01" + each["bytes"]
    for each in found["base64url"]["accepted"]:
        assert b64(bytes.fromhex(each["bytes"])) == each["text"]


# --- backups --------------------------------------------------------------------------

PIECE, SEAL = 262_144, 17


def opened_backup(data: bytes, recovery_seed: bytes) -> list[Any]:
    """All records of a backup; raises where it is none, or another's."""
    assert data[:18] == b"willcall backup 1\n"
    length = int.from_bytes(data[18:20], "big")
    head, rest = data[20 : 20 + length], data[20 + length :]
    header = decoded(head)
    assert header["kind"] == "backup"
    body = dag_cbor.encode({k: v for k, v in header.items() if k != "sig"})
    holds(header["owner"], PREFIX + b"backup\0" + body, header["sig"])
    point, secret = bindings.crypto_sign_seed_keypair(recovery_seed)
    assert point == header["recovery"]
    key = bindings.crypto_box_seal_open(
        header["key"],
        bindings.crypto_sign_ed25519_pk_to_curve25519(point),
        bindings.crypto_sign_ed25519_sk_to_curve25519(secret),
    )
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, header["stream"], key)
    plain, tags = b"", []
    for at in range(0, len(rest), PIECE + SEAL):
        piece, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
            state, rest[at : at + PIECE + SEAL], head
        )
        plain += piece
        tags.append(tag)
    assert tags == [0] * (len(tags) - 1) + [3]
    records, digest = [], sha256()
    while plain:
        size = 4 + int.from_bytes(plain[:4], "big")
        records.append(decoded(plain[4:size]))
        if records[-1][0] == "row":
            digest.update(plain[:size])
        plain = plain[size:]
    word, end = records[-1]
    counted = [record[0] for record in records]
    assert (word, end["digest"]) == ("end", digest.digest())
    assert end["rows"] == counted.count("row")
    assert end["blocks"] == counted.count("block")
    assert end["missing"] == counted.count("missing")
    assert end["size"] == sum(len(r[2]) for r in records if r[0] == "block")
    return records[:-1]


def check_backups() -> None:
    """The file that is printed, and what is in it."""
    found = form.load("backup.json")
    seed = people()[found["person"]]["recovery"]
    for each in found["backups"]:
        if "file" not in each:
            continue
        data = bytes.fromhex(each["file"])
        assert (len(data), sha256(data).hexdigest()) == (each["size"], each["sha256"])
        for record, written in zip(opened_backup(data, seed), each["records"], strict=True):
            assert record[0] == written["word"]
            assert record[-1] == form.raw(written["data" if record[0] == "file" else "value"])
            assert record[1] in (written.get("path"), bytes.fromhex(written.get("key", "")))


# --- reports --------------------------------------------------------------------------


def unb64(text: str) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def check_reports() -> None:
    """13.2, step by step."""
    alice = people()["alice"]["id"]
    found = form.load("reports.json")
    for each in found["accepted"]:
        told = {word: value for word, value in each["report"].items() if value is not None}
        proves = each["proves"]
        assert told["willcall_report"] == 1
        assert told["author"] == proves["author"]
        if "evidence" in told:
            announced(unb64(told["evidence"]), told["message"], alice, proves)
        if "record" in told:
            placed(unb64(told["record"]), alice, proves)
        if "root" in told:
            written(told, alice, proves)
        assert proves["said"] == told.get("said", {})


def announced(block: bytes, name: str, author: bytes, proves: Any) -> None:
    """The notification."""
    item = decoded(block)["item"]
    check_evidence(block, item)
    told = decoded(item)
    assert (told["from"], bytes(told["message"])) == (author, form.link_bytes(name))
    for word in ("size", "issued", "keep_until", "origin"):
        assert told[word] == proves[word]


def placed(block: bytes, author: bytes, proves: Any) -> None:
    """The record."""
    told = decoded(block)
    check_object(told, author)
    assert [node["origin"] for node in told["nodes"]] == proves["origins"]
    assert proves["lists_origin"] == (proves["origin"] in proves["origins"])


def written(told: Any, author: bytes, proves: Any) -> None:
    """The root, and its body."""
    block = unb64(told["root"])
    assert str(name_of("dag-cbor", block)) == told["message"]
    root = decoded(block)
    check_object(root, author)
    assert root["created"] == proves["created"]
    if "key" not in told:
        assert "text" not in proves
        return
    key = unb64(told["key"])
    assert root["commitment"] == mac(key, PREFIX + b"commitment\0" + author)
    assert ("body" in root) == ("text" in proves)
    if "body" not in root:
        return
    content, associated = mac(key, PREFIX + b"content\0" + author), PREFIX + b"part\0" + author
    opened = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
        root["body"], associated + u64(0) + u64(1), bytes(24), content
    )
    assert opened[: 64 * 1024].decode() == proves["text"]


CHECKS = (
    check_keys,
    check_encodings,
    check_spellings,
    check_objects,
    check_batches,
    check_sealing,
    check_compared,
    check_tokens,
    check_transfer,
    check_example,
    check_backups,
    check_reports,
)
