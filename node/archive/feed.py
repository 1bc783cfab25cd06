"""Feeds of an archive: Atom, JSON Feed, and the list of a node's archives as OPML.

Decides their bytes, from values; the same values give the same bytes. What is an entry's text,
and which addresses are masked, is decided before. Sources: RFC 4287 (Atom), RFC 5005 §4 (archived
feeds), jsonfeed.org/version/1.1, opml.org/spec2.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as Xml

from node.units import LAST, Instant

ATOM = "http://www.w3.org/2005/Atom"
_HISTORY = "http://purl.org/syndication/history/1.0"
_UNFIT = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""
_NOTHING = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One message.

    Attributes:
        id: a URI that never changes.
        url: its page.
        title, author: safe text; the author may be empty.
        date: when it says it was written, 0 where it does not say.
        text: its readable text.
    """

    id: str
    url: str
    title: str
    author: str
    date: Instant
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A document of a feed.

    Attributes:
        id: a URI that never changes, the same for all documents of the feed.
        title: the archive's name.
        home: its page for people.
        url: this document.
        current: the document that changes; None: this one.
        before, after: archived documents beside it (RFC 5005), older and newer.
        items: newest first.
    """

    id: str
    title: str
    home: str
    url: str
    items: Sequence[Item]
    current: str | None = None
    before: str | None = None
    after: str | None = None

    @property
    def updated(self) -> Instant:
        """The newest date in it."""
        return max((item.date for item in self.items), default=_NOTHING)


def atom(feed: Feed) -> bytes:
    """The document as Atom."""
    root = Xml.Element("feed", {"xmlns": ATOM, "xmlns:fh": _HISTORY})
    _add(root, "id", feed.id)
    _add(root, "title", feed.title)
    _add(root, "updated", moment(feed.updated))
    _link(root, "self", feed.url, "application/atom+xml")
    _link(root, "alternate", feed.home, "text/html")
    if feed.current is not None:
        Xml.SubElement(root, "fh:archive")
        _link(root, "current", feed.current, "application/atom+xml")
    for relation, url in (("prev-archive", feed.before), ("next-archive", feed.after)):
        if url is not None:
            _link(root, relation, url, "application/atom+xml")
    # Every entry has an author, or the feed has one for it (RFC 4287 §4.1.1).
    _add(Xml.SubElement(root, "author"), "name", feed.title)
    for item in feed.items:
        _entry(root, item)
    Xml.indent(root, "")
    return _printed(root)


def _entry(root: Xml.Element, item: Item) -> None:
    entry = Xml.SubElement(root, "entry")
    _add(entry, "id", item.id)
    _add(entry, "title", item.title)
    _add(entry, "updated", moment(item.date))
    if item.author:
        _add(Xml.SubElement(entry, "author"), "name", item.author)
    _link(entry, "alternate", item.url, "text/html")
    _add(entry, "content", item.text, type="text")


def _add(parent: Xml.Element, name: str, text: str, **attributes: str) -> None:
    Xml.SubElement(parent, name, attributes).text = _UNFIT.sub("\ufffd", text)


def _link(parent: Xml.Element, relation: str, url: str, kind: str) -> None:
    Xml.SubElement(parent, "link", {"rel": relation, "type": kind, "href": url})


def json_feed(feed: Feed) -> bytes:
    """The document as JSON Feed 1.1."""
    document: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": feed.home,
        "feed_url": feed.url,
        "items": [_json(item) for item in feed.items],
    }
    if feed.before is not None:
        document["next_url"] = feed.before
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def _json(item: Item) -> dict[str, Any]:
    made: dict[str, Any] = {
        "id": item.id,
        "url": item.url,
        "title": item.title,
        "content_text": item.text,
    }
    if item.date:
        made["date_published"] = moment(item.date)
    if item.author:
        made["authors"] = [{"name": item.author}]
    return made


def opml(title: str, feeds: Iterable[tuple[str, str, str]]) -> bytes:
    """A list of feeds: name, address of the feed, address of its page."""
    root = Xml.Element("opml", {"version": "2.0"})
    _add(Xml.SubElement(root, "head"), "title", title)
    body = Xml.SubElement(root, "body")
    for name, url, home in feeds:
        text = _UNFIT.sub("\ufffd", name)
        words = {"type": "rss", "text": text, "title": text, "xmlUrl": url, "htmlUrl": home}
        Xml.SubElement(body, "outline", words)
    return _printed(root)


def _printed(root: Xml.Element) -> bytes:
    text: str = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode("utf-8", "replace")


def moment(at: Instant) -> str:
    """RFC 3339, UTC, to the second; a time that no calendar here has is its first or last."""
    date = datetime.fromtimestamp(min(at, LAST) // 1000, UTC)
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")
