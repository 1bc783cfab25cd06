"""From what a person wants to send to the message that leaves: names, files, the original."""

import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cli import render
from cli.local import Local
from cli.spans import millis
from node.errors import Absent, Malformed, Refused, StoreFailed, Usage, WillcallError

if TYPE_CHECKING:
    from node.mail.compose import Attachment, Mailbox
    from node.mail.letter import Letter

KEEP = "30d"
"""How long mail waits unless said otherwise."""
HEAD = 64 * 1024
"""Bytes of a message in which its header section is looked for."""
SPOOLED = 8 * 1024 * 1024
"""Standard input up to this size is held in memory, more of it in a temporary file."""


def terms(letter: "Letter") -> dict[str, Any]:
    """For whom and how long, as the node is asked.

    Raises:
        Usage: for nobody, or for no length of time.
    """
    if not letter.everybody:
        raise Usage("nobody to send to", next="--to NAME (willcall contact list)")
    if letter.keep_sent not in ("", "yes", "no"):
        raise Usage("Keep-sent is yes or no")
    made: dict[str, Any] = {"to": letter.everybody, "keep": millis(letter.keep or KEEP)}
    return made | ({"keep_sent": int(letter.keep_sent == "yes")} if letter.keep_sent else {})


def upload(local: Local, word: str, terms: dict[str, Any], stream: IO[bytes]) -> Any:
    """Sends a file to the node; the document it answers with."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return local.upload(word, terms, stream, size, render.progress(size))


# --- composing --------------------------------------------------------------------------


def resolved(local: Local, letter: "Letter") -> dict[str, Any]:
    """Who is meant; everybody known, or an error before anything is written.

    Raises:
        NoContact, Usage: somebody is not known, or nobody was named.
    """
    terms(letter)
    people: dict[str, Any] = local.post("resolve", to=letter.to, cc=letter.cc, bcc=letter.bcc)
    return people


def send(local: Local, letter: "Letter") -> dict[str, Any]:
    """Sends a letter; its document. When this returns, it is durable at the node."""
    content = _composed(local, letter)
    row: dict[str, Any] = upload(local, "send", terms(letter), io.BytesIO(content))
    return row


def _composed(local: Local, letter: "Letter") -> bytes:
    """The message, without a trace of hidden recipients."""
    from node.mail import compose, thread

    people = resolved(local, letter)
    answer = thread.answer(head(local, letter.answers)) if letter.answers else None
    return compose.compose(
        sender=_mailbox(people["from"]),
        to=[_mailbox(person) for person in people["to"]],
        cc=[_mailbox(person) for person in people["cc"]],
        subject=letter.subject,
        text=letter.text,
        date=people["now"],
        message_id=f"<{people['id']}@willcall>",
        in_reply_to=answer.in_reply_to if answer else None,
        references=answer.references if answer else (),
        attachments=[*map(_attachment, letter.attach), *_passed_on(local, letter.forwards)],
    )


def head(local: Local, ref: str) -> bytes:
    """The first bytes of a message."""
    pieces = local.stream("raw", ref)
    found = b""
    while len(found) < HEAD and (piece := next(pieces, b"")):
        found += piece
    return found


def _mailbox(person: dict[str, Any]) -> "Mailbox":
    from node.mail.compose import Mailbox

    return Mailbox(name=person["name"] or "", address=person["address"] or person["did"])


def _attachment(path: str) -> "Attachment":
    import mimetypes

    from node.mail import compose

    name = compose.readable(Path(path).name)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    with opened(os.path.expanduser(path)) as stream:
        if name != Path(path).name:
            render.note(f"(a name that not everybody can read: it goes as {name})")
        return compose.Attachment(name=name, type=kind, data=stream.read())


def _passed_on(local: Local, ref: str) -> Iterator["Attachment"]:
    """The original of a forwarded message, whole and untouched, and what proves its author."""
    from node.mail import original
    from node.mail.compose import Attachment

    if not ref:
        return
    content = b"".join(local.stream("raw", ref))
    try:
        proof = b"".join(local.stream("proof", ref))
        yield Attachment(name=original.NAME, type=original.TYPE, data=proof)
    except WillcallError as error:
        if error.reason != "no-proof":
            raise
    yield Attachment(name="forwarded.eml", type="message/rfc822", data=content)


# --- files ------------------------------------------------------------------------------


def text_of(text: str | None, path: str | None) -> str | None:
    """The words as they were given, or from a file; None: neither was given."""
    if text is not None and path is not None:
        raise Usage("give -m TEXT or FILE (- is standard input), not both", next="-m 'Hello!'")
    if path is None:
        return text
    with opened(path) as stream:
        data = stream.read()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(
            f"{'standard input' if path == '-' else path} is not text in UTF-8",
            next="iconv -f latin1 -t utf-8 makes it that; --attach takes any bytes",
        ) from error


def opened(path: str) -> IO[bytes]:
    """A file; a pipe or standard input to its end (its size must be known).

    Raises:
        Absent: there is no such file.
        Refused: it may not be read.
    """
    try:
        if path == "-":
            return _spooled(sys.stdin.buffer)
        file = open(path, "rb")  # noqa: SIM115 - the caller closes it
        if file.seekable():
            return file
        with file:
            return _spooled(file)
    except PermissionError as error:
        raise Refused(f"{path} may not be read by this user") from error
    except OSError as error:
        raise Absent(f"{path}: {error.strerror}", next="is the name right?") from error


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """A stream, as something whose size can be told."""
    import shutil
    import tempfile

    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) and not stream.tell():
        return stream
    spool: Any = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115 - the caller closes it
    try:
        shutil.copyfileobj(stream, spool)
    except OSError as error:
        raise StoreFailed(f"there is no room for a temporary file: {error.strerror}") from error
    spool.seek(0)
    return spool  # type: ignore[no-any-return]
