"""Mail that breaks what reads it: nothing is raised, nothing hangs, nothing drives a terminal."""

import re
from collections.abc import Iterator
from time import process_time

import pytest

from node.errors import WillcallError
from node.mail import mbox, thread
from node.mail.display import display, files
from node.mail.scan import scan
from tests.hostile.catalogue import Case, latin, load, title

SECONDS = 3.0
"""The slowest takes half a second alone; the child that does it for a person has five."""
DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would obey, or what turns a text around."""


def shown(content: bytes) -> Iterator[str]:
    """Everything that is put before a person."""
    found = display(content)
    yield from (word for pair in found.headers for word in pair)
    yield found.text
    yield from (word for each in found.attachments for word in (each.name, each.type))
    yield from found.marks
    yield from (each.name for each in files(content).files)
    said = scan(content)
    yield from (word for word in (said.subject, said.sender, said.message_id) if word)
    answered = thread.answer(content)
    yield answered.subject
    yield from answered.references


@pytest.mark.parametrize("case", load("mail.json"), ids=title)
def test_mail(case: Case) -> None:
    content, start = latin(case["bytes"]), process_time()
    for words in shown(content):
        assert not DRIVES.search(words), words[:200]
    assert process_time() - start < SECONDS
    said, found = scan(content), display(content)
    right = {
        "subject": said.subject,
        "date": said.date,
        "text": found.text,
        "marks": found.marks,
    }
    for name in right.keys() & case.keys():
        assert right[name] == case[name], name


def read(case: Case, size: int) -> int | str:
    """How many messages an mbox holds, or why it is none; fed in pieces of `size` bytes."""
    data = latin(case["bytes"])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    limits = {"largest": case["largest"]} if "largest" in case else {}
    try:
        return len(list(mbox.split(pieces, dialect=case.get("dialect", "mboxrd"), **limits)))
    except WillcallError as error:
        return error.reason


@pytest.mark.parametrize("case", load("mbox.json"), ids=title)
def test_mbox(case: Case) -> None:
    start = process_time()
    expected = case["reason"] if "reason" in case else case["messages"]
    assert read(case, 65_536) == expected
    assert read(case, 997) == expected
    mbox.sniff(latin(case["bytes"])[:65_536])
    assert process_time() - start < SECONDS
