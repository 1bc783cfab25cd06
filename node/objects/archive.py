"""What the owner of an archive says of it: whose it is, where it is, and whose key signs its log.

Followers pin `owner`: the key of a log changes with each epoch, the owner never. A new epoch
names the last head of the old one, so that nothing can be dropped between the two.

Decides: form. Leaves the log to `node.archive`, who may publish to the services. Spec: 12.
"""

from dataclasses import dataclass

from node import limits
from node.crypto.note import Verifier, parse_verifier
from node.encoding import fields as f
from node.encoding.cbor import Value
from node.errors import Malformed
from node.objects.signed import Fields, Kind, Signed
from node.units import Instant, Key

PUBLIC, PRIVATE = "public", "private"


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The last known head of the epoch before: `size` entries with the root hash `root`."""

    epoch: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """An archive, as its owner describes it.

    Attributes:
        owner: who signs this.
        name: in its address; as a display name.
        epoch: from 1; the log that is described.
        vkey: name and key of that log, as a C2SP verifier key.
        origins: where it is served.
        access: `public`, or `private`: entries are sealed to readers.
        issued: when this was said; of two the later counts.
        previous: the head of the epoch before; None: there is none.
    """

    owner: Key
    name: str
    epoch: int
    vkey: str
    origins: tuple[str, ...]
    access: str
    issued: Instant
    previous: Previous | None = None

    @property
    def verifier(self) -> Verifier:
        """Name and key of the log."""
        return parse_verifier(self.vkey)


_PREVIOUS = f.group("previous", {"epoch": f.uint, "size": f.uint, "root": f.exactly(32)})


def _previous(value: Value) -> Previous:
    return Previous(**_PREVIOUS(value))


def _make(fields: Fields) -> About:
    about = About(**{name: value for name, value in fields.items() if name != "sig"})
    named = about.verifier
    if not named.name.endswith(f"/archives/{about.name}/{about.epoch}"):
        raise Malformed("the log of this archive has another name than it")
    if about.epoch < 1 or (about.previous is not None and about.previous.epoch >= about.epoch):
        raise Malformed("epochs count from 1, and one follows the other")
    return about


def _fields(about: About) -> Fields:
    before = about.previous
    return {
        "owner": about.owner,
        "name": about.name,
        "epoch": about.epoch,
        "vkey": about.vkey,
        "origins": list(about.origins),
        "access": about.access,
        "issued": about.issued,
        "previous": before and {"epoch": before.epoch, "size": before.size, "root": before.root},
    }


KIND: Kind[About] = Kind(
    name="archive",
    limit=limits.ABOUT,
    shape=f.Shape(
        "archive",
        {
            "owner": f.key,
            "name": f.name,
            "epoch": f.uint,
            "vkey": f.text,
            "origins": f.array(f.origin_text, 1, limits.ORIGINS),
            "access": f.one_of(PUBLIC, PRIVATE),
            "issued": f.instant,
            "sig": f.exactly(64),
        },
        {"previous": _previous},
    ),
    make=_make,
    fields=_fields,
    signer=lambda about: about.owner,
)


def sign(about: About, signing: bytes) -> bytes:
    """The signed block."""
    return KIND.sign(about, signing)


def decode(block: bytes) -> Signed[About]:
    """Foreign bytes, well formed; the signature is not looked at. Raises Malformed."""
    return KIND.decode(block)
