"""Addresses of archives: `http(s)://host[:port][/folder]/archives/NAME/[EPOCH/][#KEY]`.

What stands before `archives/` is the root of a site: a node, or a folder that an export was
copied to. `#KEY` is the owner's key, as after `did:key:`: who comes by such a link has it pinned
before the first request.

Decides: form. Leaves whether one may connect there to the client. Spec: 12.
"""

import re
from dataclasses import dataclass

from node.encoding import names, origin
from node.errors import Malformed
from node.units import Key

LONGEST = 500
"""Characters of an address: an origin, a few folders, a name in percent signs, a key."""
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""Names of archives that are served: what stands in an address, in a signed note and in a folder
as it is. A name that is only digits would be an epoch."""
BESIDE = ("archives.opml", "index.html")
"""Under `/archives/`, and in the folder of files there: the list of all archives."""
_FORM = re.compile(
    r"(?P<scheme>https?)://(?P<host>[^/?#]+)(?P<root>(?:/[A-Za-z0-9._~%-]+)*?)"
    r"/archives/(?P<name>[^/?#]+)(?:/(?P<epoch>[1-9][0-9]{0,8}))?/?(?:#(?P<key>z[A-Za-z0-9]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an archive is served.

    Attributes:
        origin: `host:port`.
        root: the path before `/archives/`, without a slash at its end; mostly empty.
        name: of the archive there.
        owner: the key that was given with the address.
    """

    origin: str
    root: str
    name: str
    owner: Key | None = None

    @property
    def base(self) -> str:
        """The path of the archive, with a slash at its end."""
        return f"{self.root}/archives/{self.name}/"

    @property
    def url(self) -> str:
        """The address without a key."""
        scheme = "http" if origin.is_plain(self.origin) else "https"
        return f"{scheme}://{self.origin}{self.base}"


def check_name(name: str) -> None:
    """Raises Malformed unless it can be the name of an archive."""
    if not NAME.fullmatch(name) or name.isdigit() or ".." in name:
        raise Malformed(
            "the name of an archive has 1 to 64 letters (of ASCII), digits, dots, dashes and "
            "underscores; a letter or digit at both ends, and not digits alone",
            next="cats, or kitchen-2026",
        )


def check_new_name(name: str) -> None:
    """Raises Malformed unless an archive can be called so here, and be exported."""
    check_name(name)
    if name in BESIDE:
        raise Malformed(
            f"{name} is a file beside the archives", next="another name: cats, or kitchen-2026"
        )


def parse(text: str) -> Place:
    """The place in an address.

    Raises:
        Malformed: it is none.
    """
    found = _FORM.fullmatch(text.strip()) if len(text) <= LONGEST else None
    if found is None:
        raise Malformed(
            f"{text[:80]!r} is no address of an archive",
            next="http://host:4625/archives/NAME/",
        )
    at = _origin(found["scheme"], found["host"])
    check_name(found["name"])
    return Place(
        origin=at,
        root=found["root"],
        name=found["name"],
        owner=None if found["key"] is None else names.parse_z(found["key"]),
    )


def link(url: str, owner: Key) -> str:
    """The address with its owner's key."""
    return f"{url}#{names.z(owner)}"


def _origin(scheme: str, host: str) -> str:
    written = host.lower()
    tail = written.rpartition("]")[2] if written.startswith("[") else written
    at = written if ":" in tail else f"{written}:{443 if scheme == 'https' else 80}"
    origin.check(at)
    if origin.is_plain(at) == (scheme == "https"):
        raise Malformed(
            f"{at} speaks {'plain HTTP' if scheme == 'https' else 'TLS'}",
            next="http:// for loopback and private addresses, https:// for all others",
        )
    return at
