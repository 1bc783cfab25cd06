"""How pages of archives look: templates, the policy they are served with, rows for people."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import jinja2
from markupsafe import Markup

from node.archive import feed
from node.encoding import cid as cids
from node.mail import people
from node.mail.mask import masked
from node.units import Instant
from node.web.catalogue import UNDATED, Row

HTML = "text/html; charset=utf-8"
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'self'"
"""In each page too: what is exported is served by others, who may send no such header."""
DEEPEST = 6
"""Steps that answers are moved in: more would leave no room on a phone."""


class Looks:
    """Fills the templates; everything that is put into them is escaped.

    Attributes:
        own: what a page is served with: its one style, its form, nothing else. No script.
        sandboxed: the same for a page with somebody's cleaned HTML in it.
        version: changes with anything that pages look like.
    """

    def __init__(self) -> None:
        files = {each.name: each.read_text("utf-8") for each in _files() if each.is_file()}
        loader = jinja2.DictLoader(files)
        self._env = jinja2.Environment(
            loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
        )
        self._style = files["style.css"]
        self._policy = _POLICY.format(_hash(self._style))
        policy = f"{self._policy}; frame-ancestors 'none'"
        self.own = _headers(policy)
        self.sandboxed = _headers(f"{policy}; sandbox allow-top-navigation-by-user-activation")
        self.version = _hash("".join(files[name] for name in sorted(files)))

    def page(self, name: str, **values: Any) -> bytes:
        """A page."""
        given = {"archive": None, "up": "./", "style": Markup(self._style), **values}
        given["policy"] = self._policy
        return self._env.get_template(f"{name}.html").render(given).encode("utf-8", "replace")


def _files() -> Iterator[Traversable]:
    return (resources.files("node.web") / "templates").iterdir()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _headers(policy: str) -> tuple[tuple[str, str], ...]:
    return (
        ("Content-Security-Policy", policy),
        ("Content-Disposition", "inline"),
        ("Referrer-Policy", "no-referrer"),
    )


def shown(row: Row, depth: int = 0) -> dict[str, Any]:
    """A message as lists show it."""
    stamp = feed.moment(row.date) if row.date else ""
    return {
        "cid": cids.show(row.message),
        "subject": masked(row.subject) or ("(removed)" if row.removed else "(no subject)"),
        "sender": author(row.sender),
        "date": stamp[:16].replace("T", " ") or "no date",
        "stamp": stamp,
        "month": row.month,
        "removed": masked(row.removed),
        "depth": min(depth, DEEPEST),
    }


def author(sender: str) -> str:
    """A name without its address; an address alone is masked."""
    name = sender.partition("<")[0].strip(' "')
    return masked(name or sender.strip("<> "))[:200]


def is_from(sender: str, signer: str) -> bool:
    """Whether a From field names whoever signed, and nobody beside."""
    name, _, address = sender.rpartition("<")
    found = [each.rpartition("@")[0] for each in people.read(address)]
    return bool(signer) and found == [signer] and masked(name) == name


def credited(sender: str, signer: str) -> str:
    """An author as a feed names one, where nothing beside it can say what is a claim."""
    name = author(sender)
    claim = name if not name or is_from(sender, signer) else f"{name} (claimed)"
    return f"{claim}, signed by …{signer[-8:]}".lstrip(", ") if signer else claim


def tree(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Messages with their answers below them, each as far in as it is deep; siblings by date."""
    here = {row.id for row in rows}
    below: dict[int | None, list[Row]] = {}
    for row in rows:
        below.setdefault(row.parent if row.parent in here else None, []).append(row)
    made: list[dict[str, Any]] = []
    left = [(row, 0) for row in reversed(below.get(None, []))]
    while left:
        row, depth = left.pop()
        made.append(shown(row, depth))
        left += [(each, depth + 1) for each in reversed(below.get(row.id, []))]
    return made


def month_of(date: Instant) -> str:
    """The month that a message is listed in, as `2020-01`."""
    return feed.moment(date)[:7] if date else UNDATED
