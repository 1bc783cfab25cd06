"""Names of files in a Maildir: a message is a file, and its name says what is true of it.

Format: qmail's maildir(5); flags after `:2,` in ASCII order; Maildir++ for subfolders, which are
hidden folders such as `.Sent`. The bytes of a message are the file's, untouched.
"""

import re

from node.units import Instant

SENT = ".Sent"
"""The subfolder of sent mail, as Dovecot, Courier and mutt have it."""
_SECONDS = re.compile(r"([0-9]{9,11})\.")


def base(at: Instant, message: str) -> str:
    """The part of a name that never changes: when it came, and the message's CID."""
    return f"{at // 1000}.{message}.willcall"


def stem(name: str) -> str:
    """The same part of any file's name, whatever its flags."""
    return name.partition(":")[0]


def flags(name: str) -> str:
    """The flags of a file: `S` seen, `R` answered, `T` to be deleted, …; "" for none."""
    _, found, letters = name.partition(":2,")
    return letters if found else ""


def moment(name: str) -> Instant | None:
    """When a message came, by its file's name; None where it does not say."""
    found = _SECONDS.match(name)
    return Instant(int(found[1]) * 1000) if found else None
