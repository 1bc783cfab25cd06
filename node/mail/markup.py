"""HTML mail as plain text, in one pass.

Nothing of it is obeyed: scripts, styles and comments are left out, the address of a link
stands behind its words, a picture is its description, everything else loses its tags.

Written here because `html.parser` searches the rest of the text again for each unfinished
tag or comment (CVE-2025-6069; 3.11.7 has it): 100 KB took minutes. Here a search that fails
ends the walk, so the time is linear.
"""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

_TAG_CHARACTERS = 4096
"""How far a tag's quoted values are honoured; a link longer than this is no link to follow."""
_TAG = re.compile(r"""<(/?)([a-zA-Z][^\s/>]{0,40})((?:[^"'>]|"[^"]*"|'[^']*')*+)>""")
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*+=\s*+("[^"]*"|'[^']*'|[^\s>]*))?""")
_DROPPED = {
    name: re.compile(rf"</{name}", re.IGNORECASE | re.ASCII)
    for name in ("script", "style", "title", "template", "noscript", "textarea", "svg", "math")
}
_BLOCKS = re.compile(
    "address|article|aside|blockquote|br|caption|center|d[dlt]|div|fieldset|figure|footer|form"
    "|h[1-6r]|header|li|main|nav|[ou]l|p|pre|section|table|tr"
)
_MARKUP = re.compile("<[!?/a-zA-Z]")
_BLANKS = re.compile(r"[ \t\r\n\f\xa0]+")
# Python refuses to read numbers of over 4,300 digits.
_LONG_NUMBER = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}")


def text(source: str) -> str:
    """The words of an HTML document. Not yet safe to print (see `text.safe_text`)."""
    out: list[str] = []
    link: _Link | None = None
    for piece in _pieces(source):
        if isinstance(piece, str):
            out.append(_BLANKS.sub(" ", _unescape(piece)))
            continue
        if piece.name == "a":
            out.append(link.address(out) if link else "")
            link = None if piece.closing else _Link(piece.attribute("href"), len(out))
        elif piece.name == "img":
            out.append(_described(piece.attribute("alt")))
        elif piece.name in ("td", "th"):
            out.append(" ")
        elif _BLOCKS.fullmatch(piece.name):
            out.append("\n- " if piece.name == "li" and not piece.closing else "\n")
    out.append(link.address(out) if link else "")
    return _laid_out("".join(out))


class _Tag(NamedTuple):
    name: str
    closing: bool
    rest: str

    def attribute(self, name: str) -> str:
        """An attribute's value; the first counts, as in a browser."""
        for found in _ATTRIBUTE.finditer(self.rest):
            if found[1].lower() == name:
                return _BLANKS.sub(" ", _unescape((found[2] or "").strip("\"'"))).strip()
        return ""


class _Link(NamedTuple):
    href: str
    start: int

    def address(self, out: list[str]) -> str:
        """Where the link leads, unless its words say exactly that."""
        words = "".join(out[self.start :]).strip()
        shown = self.href.removeprefix("mailto:")
        if not shown or shown.startswith("#") or words == shown:
            return ""
        return f" <{shown}>"


def _pieces(source: str) -> Iterator[str | _Tag]:
    """Runs of text, and tags; comments and what must not be shown are left out."""
    at = 0
    while opened := _MARKUP.search(source, at):
        start = opened.start()
        yield source[at:start]
        tag = _TAG.match(source, start, start + _TAG_CHARACTERS)
        if tag:
            name, closing = tag[2].lower(), bool(tag[1])
            yield _Tag(name, closing, tag[3])
            at = tag.end()
            if name in _DROPPED and not closing:
                ended = _DROPPED[name].search(source, at)
                at = ended.start() if ended else len(source)
        else:
            at = _after(source, start)
    yield source[at:]


def _after(source: str, start: int) -> int:
    """Behind a comment, a declaration or an odd tag; the end if it is never closed."""
    mark = "-->" if source.startswith("<!--", start) else ">"
    end = source.find(mark, start + 2)
    return end + len(mark) if end >= 0 else len(source)


def _unescape(run: str) -> str:
    return html.unescape(_LONG_NUMBER.sub("\ufffd", run)) if "&" in run else run


def _described(words: str) -> str:
    return f"[{words}]" if words else ""


def _laid_out(run: str) -> str:
    """Lines without blanks at their ends, and never two empty ones in a row."""
    lines: list[str] = []
    for line in run.split("\n"):
        line = _BLANKS.sub(" ", line).strip(" ")
        if line not in ("", "-") or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n")
