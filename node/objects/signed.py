"""What every signed kind has in common: a form, a limit, a signer.

`Kind.decode` gives a `Signed` value: well formed, and nothing more. Only `Signed.verify`
gives the value itself, so a forgotten signature check is a type error.
Spec: 02 (signatures).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from node.crypto import signed
from node.encoding import cbor, cid
from node.encoding.cid import Cid
from node.encoding.fields import Shape
from node.errors import Malformed, TooLarge

T = TypeVar("T")
Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed(Generic[T]):
    """A decoded object whose signature nobody has looked at yet.

    Attributes:
        claim: what it says; to be used for look-ups before the signature is checked,
            never to be believed.
        block: its canonical bytes, `sig` included.
        check: raises Unverified unless the signatures hold.
    """

    claim: T
    block: bytes
    check: Callable[[], None]

    def verify(self) -> T:
        """The value, after its signature was checked.

        Raises:
            Unverified: a signature does not hold.
        """
        self.check()
        return self.claim

    @property
    def cid(self) -> Cid:
        """The object's name."""
        return cid.of_object(self.block)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """One signed kind.

    Attributes:
        name: the word in `kind`.
        limit: the largest canonical form in bytes, `sig` included.
        shape: the fields and their forms.
        make: fields to value; raises Malformed where fields disagree.
        fields: value to fields, without `kind`, `v` and `sig`; None is left out.
        signer: whose Ed25519 key signs it.
    """

    name: str
    limit: int
    shape: Shape
    make: Callable[[Fields], T]
    fields: Callable[[T], Fields]
    signer: Callable[[T], bytes]

    def body(self, value: T) -> Fields:
        """The map that is signed: everything but `sig`."""
        named = {"kind": self.name, "v": 1}
        return named | {k: v for k, v in self.fields(value).items() if v is not None}

    def sign(self, value: T, signing: bytes) -> bytes:
        """The block: the canonical map with `sig`.

        Args:
            value: the object.
            signing: the 32-byte Ed25519 seed of its signer.
        """
        return cbor.encode(signed.sign(self.name, self.body(value), signing))

    def decode(self, block: bytes) -> Signed[T]:
        """Foreign bytes of this kind, well formed.

        Raises:
            Malformed: not canonical, not of this kind, fields that disagree, too large.
        """
        if len(block) > self.limit:
            raise TooLarge(f"a {self.name} has at most {self.limit} bytes, this has {len(block)}")
        return self.parse(cbor.decode(block), block)

    def parse(self, value: Any, block: bytes) -> Signed[T]:
        """The same from a decoded map and its canonical bytes."""
        fields = self.shape.parse(value)
        made = self.make(fields)
        return Signed(claim=made, block=block, check=lambda: self._verify(value, made))

    def embedded(self, value: Any) -> Signed[T]:
        """The same from a map inside an answer: its own size and depth count."""
        return self.decode(cbor.encode(value))

    def _verify(self, value: Fields, made: T) -> None:
        body = {k: v for k, v in value.items() if k != "sig"}
        signed.verify(self.name, cbor.encode(body), self.signer(made), value["sig"])


def distinct_sorted(values: Sequence[Cid], what: str) -> tuple[Cid, ...]:
    """The values, which must be sorted and distinct already."""
    if any(a >= b for a, b in itertools.pairwise(values)):
        raise Malformed(f"{what} must be sorted and distinct")
    return tuple(values)
