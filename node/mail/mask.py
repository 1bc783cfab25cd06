"""Addresses in text that anybody reads: whose they are stays, where mail would reach them goes.

Harvesters take what looks like an address; people take the name in front of it. Decides what
is an address in running text (a generous reading of RFC 5321: better one word too many than
an address too few). It is no secret: the bytes of a message are served as they are.
"""

import re

_ADDRESS = re.compile(r"(?P<local>[\w.!#$%&'*+/=?^`{|}~-]{1,64})@(?:[\w-]{1,63}\.)+\w[\w-]{0,62}")
"""Bounded in every part, so that no text makes it try for long."""


def masked(text: str) -> str:
    """The text, with `…` in place of the domain of every address."""
    return _ADDRESS.sub(r"\g<local>@…", text) if "@" in text else text
