"""Names at domains: `anna@example.org` to a key, by WebFinger (RFC 7033) over HTTPS.

Both sides as pure functions: what a domain answers about an owner who chose to be found, and
what is asked and believed elsewhere. The answer names a key and an origin and nothing more
follows from it: the record is asked for at that origin and must be signed by that key. That the
key stays the same is the caller's to watch (pinned at first use). Spec: 08 §8.6.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode

import msgspec

from node.encoding import names, origin, text
from node.errors import Malformed
from node.units import ByteCount, Key

PATH = "/.well-known/webfinger"
PORT = 443
"""WebFinger is at the domain's own HTTPS port (RFC 7033 §4)."""
TYPE = "application/jrd+json"
REL = "self"
RECORD_TYPE = "application/vnd.ipld.dag-cbor"
"""A link is ours when it is `self`, of this type, and leads to an owner's record."""
ANSWER = ByteCount(16 * 1024)
"""Bytes of an answer: ours has 300; a domain may say more about a person, not a book."""
PARAMETERS = 16
"""Parameters of a query that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """A name at a domain."""

    name: str
    domain: str

    def __str__(self) -> str:
        return f"{self.name}@{self.domain}"

    @property
    def origin(self) -> str:
        """Where the domain is asked."""
        return f"{self.domain}:{PORT}"

    @property
    def digest(self) -> bytes:
        """32 bytes: under which it is pinned."""
        return hashlib.sha256(str(self).encode()).digest()

    @property
    def resource(self) -> str:
        """The same as an `acct:` URI (RFC 7565)."""
        return f"acct:{quote(self.name, safe='')}@{self.domain}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a domain says of a name: whose key, and where."""

    did: Key
    origin: str


def is_handle(bare: str) -> bool:
    """Whether the text looks like a name at a domain, rather than a key, link or plain name."""
    return "@" in bare and "://" not in bare and not bare.startswith("did:")


def parse(bare: str) -> Handle:
    """A name at a domain as it was typed; the domain's case does not matter.

    Raises:
        Malformed: the name breaks the rules for names, or the domain is no DNS name.
    """
    name, _, domain = bare.rpartition("@")
    text.check_name(name)
    origin.check_domain(domain.lower())
    return Handle(name=name, domain=domain.lower())


# --- answering --------------------------------------------------------------------------


def asked(query: str) -> tuple[Handle | None, Sequence[str]]:
    """Whom a query is about (None: nobody that could be here), and the relations asked for.

    Raises:
        Malformed: there is not exactly one `resource`, or the query can't be read.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=PARAMETERS, errors="strict")
    except ValueError as error:
        raise Malformed("this query can't be read") from error
    resources = [value for key, value in pairs if key == "resource"]
    if len(resources) != 1:
        raise Malformed("WebFinger is asked about one resource")
    return _account(resources[0]), [value for key, value in pairs if key == "rel"]


def _account(resource: str) -> Handle | None:
    if not resource.startswith("acct:"):
        return None
    name, at, domain = resource.removeprefix("acct:").rpartition("@")
    try:
        return parse(unquote(name, errors="strict") + at + domain)
    except (Malformed, UnicodeDecodeError):
        return None


def document(handle: Handle, did: Key, head: str, rels: Sequence[str]) -> bytes:
    """The answer about an owner (a JRD).

    Args:
        handle: whom was asked about.
        did: the owner's key.
        head: scheme and origin of the node.
        rels: the relations asked for; none: all there are.
    """
    link = {"rel": REL, "type": RECORD_TYPE, "href": f"{head}/v1/owners/{names.z(did)}"}
    made = {
        "subject": handle.resource,
        "aliases": [names.did(did)],
        "links": [link] if not rels or REL in rels else [],
    }
    return json.dumps(made).encode()


# --- asking -----------------------------------------------------------------------------


def question(handle: Handle) -> str:
    """Path and query of the question."""
    return f"{PATH}?{urlencode({'resource': handle.resource, 'rel': REL})}"


class _Link(msgspec.Struct, frozen=True):
    rel: str = ""
    type: str = ""
    href: str = ""


class _Answer(msgspec.Struct, frozen=True):
    subject: str
    links: list[_Link] = []


def read(body: bytes, handle: Handle) -> Place | None:
    """What a domain answered about a name; None: it says nothing of willcall.

    Raises:
        Malformed: not an answer (JSON of that form), or one about somebody else.
    """
    if len(body) > ANSWER:
        raise Malformed("more than an answer about one person")
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a WebFinger answer: {error}") from error
    if _account(answer.subject) != handle:
        raise Malformed("an answer about somebody else")
    places = {_place(link.href) for link in answer.links if _is_ours(link)}
    if len(places) > 1:
        # Taking the first would let the order of an answer decide who is written to.
        raise Malformed("an answer with several keys")
    return places.pop() if places else None


def _is_ours(link: _Link) -> bool:
    return (link.rel, link.type) == (REL, RECORD_TYPE) and "/v1/owners/" in link.href


def _place(href: str) -> Place:
    scheme, _, rest = href.partition("://")
    at, _, z = rest.partition("/v1/owners/")
    origin.check(at)
    if scheme not in ("https", "http"):
        raise Malformed("an address of another scheme")
    return Place(did=names.parse_z(z), origin=at)
