"""HTML from mail for a browser: words and their order, nothing that loads, runs or covers.

A strict list: no picture, style, class, form, frame, nor any element that a browser fetches for.
Links stay, to http and https alone. What is cleaned is still served under a policy that
allows nothing, in a sandbox. Source: the list of nh3 (ammonia), cut down.
"""

import nh3

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


def clean(markup: str) -> str:
    """Markup that is safe inside a page's body."""
    cleaned: str = nh3.clean(
        markup,
        tags=set(TAGS),
        clean_content_tags=set(DROPPED),
        attributes=ATTRIBUTES,
        url_schemes={"http", "https"},
        link_rel="nofollow noopener noreferrer",
    )
    return cleaned
