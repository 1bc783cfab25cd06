import pytest

from node.mail.compose import Mailbox, compose
from node.mail.scan import scan
from node.mail.thread import answer, forwarded_subject
from node.units import Instant


@pytest.mark.parametrize(
    ("subject", "replied", "forwarded"),
    [
        (b"Hi", "Re: Hi", "Fwd: Hi"),
        (b"Re: Hi", "Re: Hi", "Fwd: Re: Hi"),
        (b"RE : Hi", "RE : Hi", "Fwd: RE : Hi"),
        (b"AW: Hi", "AW: Hi", "Fwd: AW: Hi"),
        (b"Fwd: Hi", "Re: Fwd: Hi", "Fwd: Hi"),
        (b"Reply: Hi", "Re: Reply: Hi", "Fwd: Reply: Hi"),
        (b"", "Re:", "Fwd:"),
    ],
)
def test_subjects(subject: bytes, replied: str, forwarded: str) -> None:
    head = b"Subject: " + subject + b"\n\n"
    assert answer(head).subject == replied
    assert forwarded_subject(head) == forwarded


def test_references_grow() -> None:
    assert answer(b"Message-ID: <3@x>\nReferences: <1@x>\n <2@x>\n\n")[1:] == (
        "<3@x>",
        ("<1@x>", "<2@x>", "<3@x>"),
    )
    assert answer(b"Message-ID: <3@x>\nIn-Reply-To: <2@x>\n\n").references == ("<2@x>", "<3@x>")
    assert answer(b"References: <1@x>\n\n")[1:] == (None, ("<1@x>",))
    assert answer(b"\n")[1:] == (None, ())


def test_long_chains_keep_both_ends() -> None:
    chain = b"".join(b"<%d@x>\n " % number for number in range(50))
    references = answer(b"References: " + chain + b"\nMessage-ID: <own@x>\n\n").references
    assert (len(references), references[0], references[-1]) == (20, "<0@x>", "<own@x>")


def test_odd_identifiers_are_left_out() -> None:
    assert answer(b"Message-ID: <a b>\nReferences: <\xff> <ok@x> junk <\x1b>\n\n")[1:] == (
        None,
        ("<ok@x>",),
    )


@pytest.mark.corpus
def test_everything_can_be_answered(mail: dict[str, bytes]) -> None:
    me = Mailbox(name="me", address="did:key:z6Mk@127.0.0.1:4625")
    for name, content in mail.items():
        subject, identity, references = answer(content)
        reply = compose(
            sender=me,
            to=[me],
            subject=subject,
            text="",
            date=Instant(0),
            message_id="<r@x>",
            in_reply_to=identity,
            references=references,
        )
        assert (scan(reply).subject or "")[:900] == subject[:900], name
