"""What a shell offers behind a command: contacts' names, messages, owners of the running node.

A completion that fails is silent, and none waits: a node that does not answer at once, or
does not run, offers nothing.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import typer

from cli.state import STATE
from node.errors import WillcallError

NEWEST = 200
"""Messages that are offered: what a person can look through, read in a few milliseconds."""
SECONDS = 1.0
"""How long a node may take: after that a person has typed on."""

_WORD = re.compile(r"[\w.,:+@%=-]+")
"""What is a word to every shell. Names and subjects are strangers' words: nothing that a shell
would obey may reach a command line."""
_ABOUT = re.compile(r"[^\w.,@+-]+")

Offer = Callable[[typer.Context, str], list[tuple[str, str]]]


def _offers(found: Callable[[Any, str], Iterator[tuple[str, str]]]) -> Offer:
    """Words that begin as what was typed, with a remark each; none where the node is silent."""

    def offer(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        root = context.find_root().params
        STATE.home, STATE.node = root.get("home"), root.get("node")
        STATE.owner = root.get("owner")
        try:
            local = STATE.local()
            local.hurry = SECONDS
            rows = list(found(local, incomplete))
        except WillcallError:
            return []
        return [
            (word, _ABOUT.sub(" ", about)[:60])
            for word, about in rows
            if word.startswith(incomplete) and _WORD.fullmatch(word)
        ]

    return offer


def _contacts(local: Any, _: str) -> Iterator[tuple[str, str]]:
    for row in local.get("contacts"):
        yield row["name"], row["origin"] or ""


def _recipients(local: Any, incomplete: str) -> Iterator[tuple[str, str]]:
    """Contacts; behind a comma another one."""
    before = incomplete.rpartition(",")[0]
    front = before + "," if before else ""
    for row in local.get("contacts"):
        yield front + row["name"], row["origin"] or ""


def _received(local: Any, incomplete: str) -> Iterator[tuple[str, str]]:
    """Numbers of the inbox, newest first; names of messages for who began one."""
    for row in reversed(local.get("inbox", limit=NEWEST)):
        about = f"{row['from']}: {row['subject'] or row['state']}"
        if incomplete and not incomplete.isdigit():
            yield row["message"], about
        else:
            yield str(row["n"]), about


def _sent(local: Any, _: str) -> Iterator[tuple[str, str]]:
    for row in local.get("sent", limit=NEWEST):
        to = ", ".join(each["to"] for each in row["deliveries"])
        yield row["message"], f"{to}: {row['subject'] or 'no subject'}"


def _held(local: Any, _: str) -> Iterator[tuple[str, str]]:
    for row in local.get("held"):
        yield row["did"], row["origin"] or ""
        if row["message"]:
            yield row["message"], row["origin"] or ""


def _owners(local: Any, _: str) -> Iterator[tuple[str, str]]:
    for row in local.get("owners"):
        yield row["name"], row["did"]


contact = _offers(_contacts)
recipient = _offers(_recipients)
received = _offers(_received)
sent = _offers(_sent)
held = _offers(_held)
owner = _offers(_owners)
