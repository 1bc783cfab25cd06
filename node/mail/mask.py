"""Addresses in text that anybody reads: whose they are stays, where mail would reach them goes.

Harvesters take what looks like an address; people take the name in front of it. Decides what
is an address in running text (a generous reading of RFC 5321: better one word too many than
an address too few), however its sign is written, and where a line was broken in it. It is no
secret: the bytes of a message are served as they are.
"""

import re

_UNSEEN = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
"""Between the letters of a word, and not seen there."""
_PIECE = rf"(?:[\w{_UNSEEN}-]|\[U\+[0-9A-F]{{4,6}}\])++"
"""A label of a domain, or what a break left of one."""
_DOT = "[.\u3002\uff0e\uff61]"
_AT = r"(?:[@\uff20\ufe6b]|%(?:25){0,4}40|&(?:commat|#0{0,6}64|#[xX]0{0,6}40);)"
_BREAK = r"(?:[ \t]?\r?\n[ \t>]{0,20})?+"
_SOFT = r"(?:[ \t]\r?\n[ \t>]{0,20})?+"
"""A flowed line's (RFC 3676): with a blank before its end, which a new sentence has not."""
_DOMAIN = rf"{_BREAK}{_PIECE}(?:{_SOFT}{_PIECE})?{_SOFT}{_DOT}{_BREAK}{_PIECE}(?:{_DOT}{_PIECE})*+"
_LITERAL = r"\[[^\]\s]{1,255}\]?"
_ADDRESS = re.compile(rf"(?<=[^\s<>,;(\[{{@])(?P<sign>{_SOFT}{_AT})(?:{_DOMAIN}|{_LITERAL})")
"""Nothing in it is looked at twice from another sign, so no text makes it try for long."""
_SIGNS = re.compile(_AT)


def masked(text: str) -> str:
    """The text, with `…` in place of the domain of every address."""
    return _cut(text, spans(text))


def spans(text: str) -> list[tuple[int, int]]:
    """Where the domains of its addresses are: what `…` has to take the place of."""
    return [(each.end("sign"), each.end()) for each in _ADDRESS.finditer(text)]


def masked_name(name: str) -> str:
    """The same for the name of a file, whose ending stays: it is no domain's."""
    stem, dot, ending = name.rpartition(".")
    short = masked(stem)
    return masked(name) if short == stem else short + dot + ending


def _cut(text: str, found: list[tuple[int, int]]) -> str:
    made, at = [], 0
    for start, end in found:
        made += [text[at:start], "…"]
        at = end
    return "".join([*made, text[at:]])
