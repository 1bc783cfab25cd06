"""HTML from mail for a browser: words and their order, nothing that loads, runs or covers.

A strict list: no picture, style, class, form, frame, nor any element that a browser fetches for.
Links stay that say whole where they lead, to http and https alone. What is cleaned is still served
under a policy that allows nothing, in a sandbox. Source: the list of nh3 (ammonia), cut down.

Addresses are masked in what is left, over the text as a reader sees it: before that, an entity or
a tag in the middle of one would hide it, and cleaning would bring it back.
"""

import html
import re
from collections import deque
from collections.abc import Iterator
from urllib.parse import unquote

import nh3

from node.mail import mask

_TEXT = ("a", "abbr", "b", "br", "cite", "code", "del", "em", "i", "ins", "q", "s", "small")
_MORE = ("span", "strong", "sub", "sup", "u", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre")
_BLOCKS = ("blockquote", "dd", "div", "dl", "dt", "li", "ol", "ul")
_TABLES = ("caption", "table", "tbody", "td", "tfoot", "th", "thead", "tr")
TAGS = frozenset((*_TEXT, *_MORE, *_BLOCKS, *_TABLES))
"""What is left; everything else goes, its text stays."""
DROPPED = frozenset(
    ("head", "iframe", "math", "noscript", "object", "script", "style", "svg", "template", "title")
)
"""What goes with its text."""
ATTRIBUTES = {"a": {"href"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}}
_LINK = re.compile(r"\s*https?://", re.IGNORECASE)
_INLINE = frozenset((*_TEXT, *_MORE)) - {"br", "hr", "p", "pre", "h1", "h2", "h3", "h4", "h5", "h6"}
"""What a word goes on in."""
_TAG = re.compile(r"""(<(?:[^">]|"[^"]*")*+>)""")
"""In what nh3 writes: there a `<` of the text is an entity, and values stand in quotes."""
_NAME = re.compile("</?([a-z0-9]+)")


def clean(markup: str) -> str:
    """Markup that is safe inside a page's body, its addresses masked."""
    cleaned: str = nh3.clean(
        markup,
        tags=set(TAGS),
        clean_content_tags=set(DROPPED),
        attributes=ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https"},
        link_rel="nofollow noopener noreferrer",
    )
    return "".join(_masked(_TAG.split(cleaned)))


def _attribute(tag: str, name: str, value: str) -> str | None:
    """A value that stays. A link with an address in it goes: without that it leads nowhere."""
    if name not in ATTRIBUTES.get(tag, ()):
        return None  # some are let through on every element
    if name != "href":
        return value
    said = (value, unquote(value), unquote(unquote(value)))
    return value if _LINK.match(value) and not any(map(mask.spans, said)) else None


def _masked(pieces: list[str]) -> Iterator[str]:
    """Texts and tags by turns, with `…` in the texts where domains of addresses were.

    An address may begin in one text and end in another: the tags in between stay as they are.
    """
    seen = [_gap(piece) if at % 2 else html.unescape(piece) for at, piece in enumerate(pieces)]
    found, start = deque(mask.spans("".join(seen))), 0
    for number, text in enumerate(seen):
        yield pieces[number] if number % 2 else _written(_left(text, start, found))
        start += len(text)
        if number % 2 and found and start - len(text) <= found[0][0] < start:
            found[0] = (start, found[0][1])  # it begins at a line's end: its `…` is the next text's


def _gap(tag: str) -> str:
    """What a reader sees of a tag between two texts."""
    name = _NAME.match(tag)
    if name is not None and name[1] in _INLINE:
        return ""
    return "\n" if tag.startswith("<br") else "\n\n"


def _left(text: str, start: int, found: deque[tuple[int, int]]) -> str:
    """A text that begins at `start`, without what was found in it; what is done with is taken."""
    made, at, stop = [], start, start + len(text)
    while found and found[0][0] < stop:
        begun, ended = found[0]
        made += [text[at - start : max(begun, at) - start], "…" if begun >= start else ""]
        at = min(ended, stop)
        if ended > stop:
            break
        found.popleft()
    return "".join([*made, text[at - start :]])


def _written(text: str) -> str:
    return html.escape(text, quote=False).replace("\xa0", "&nbsp;")
