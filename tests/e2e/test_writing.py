"""Writing: who gets it and who is seen to, the editor, drafts that nothing loses."""

import email
import email.policy
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.homes import Home, ended, meet, until
from tests.e2e.terminal import Seen, Terminal, editor

Three = tuple[Home, Home, Home]


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    """Anna, who knows ben and eve; they don't know each other."""
    with tempfile.TemporaryDirectory(prefix="wc-") as path:
        anna, ben, eve = (Home(Path(path), name) for name in ("anna", "ben", "eve"))
        with ended([anna, ben, eve]):
            for home in (anna, ben, eve):
                home.init()
                home.start()
            meet(anna, ben)
            meet(anna, eve)
            yield anna, ben, eve


def last(home: Home, count: int) -> Any:
    """The newest row of an inbox that has more than `count`."""
    return until(lambda: rows[-1] if len(rows := home.local().get("inbox")) > count else None)


def mails(home: Home) -> int:
    return len(home.local().get("inbox"))


def person(home: Home, script: str, *words: str) -> Seen:
    """What somebody sees who runs a command and writes with that editor."""
    return Terminal(home, *words, env=editor(home.path.parent, script)).end()


def drafts(home: Home) -> Any:
    return home.json("drafts")


def key_of(home: Home) -> bytes:
    """As it stands in an address."""
    return str(home.json("whoami")["did"]).removeprefix("did:key:").encode()


# --- recipients -------------------------------------------------------------------------


def test_hidden_recipients_get_it_and_stand_nowhere(three: Three) -> None:
    anna, ben, eve = three
    sent = anna.json("send", "--to", "ben", "--bcc", "eve,ben", "-m", "psst", "--wait", "10")
    assert [each["to"] for each in sent["deliveries"]] == ["ben", "eve"]
    assert {each["state"] for each in sent["deliveries"]} == {"confirmed"}
    for home in (ben, eve, anna):
        raw = home.raw(sent["message"])
        assert key_of(eve) not in raw
        named = email.message_from_bytes(raw, policy=email.policy.SMTP)
        assert named["Bcc"] is None
        people = named["From"].addresses + named["To"].addresses
        assert [each.display_name for each in people] == ["anna", "ben"]
    only = anna.json("send", "--bcc", "eve", "-m", "psst", "--wait", "10")
    assert b"\r\nTo: undisclosed-recipients:;\r\n" in eve.raw(only["message"])


def test_an_answer_to_all_reaches_those_who_are_no_contacts(three: Three) -> None:
    anna, ben, eve = three
    first = anna.json(
        "send", "--to", "ben,anna", "--cc", "eve,ben", "-s", "Lunch", "-m", "?", "--wait", "10"
    )
    headers = dict(ben.json("read", first["message"])["headers"])
    assert headers["To"].startswith("ben <")
    assert "anna <" in headers["To"]
    assert headers["Cc"].startswith("eve <")
    assert "ben" not in headers["Cc"]
    answer = ben.json("reply", first["message"], "--all", "--cc", "anna", "-m", "Yes.")
    told = [each["did"] for each in answer["deliveries"]]
    assert told == [anna.json("whoami")["did"], eve.json("whoami")["did"]]
    assert dict(ben.json("read", answer["message"])["headers"])["Subject"] == "Re: Lunch"
    # Eve does not know ben: it waits until she allows it.
    (slot,) = until(lambda: eve.json("held"))
    assert slot["message"] == answer["message"]
    eve.json("allow", slot["did"])
    ben.settled(answer["message"], "confirmed", 20)
    assert eve.json("inbox")[-1]["message"] == answer["message"]


def test_an_answer_to_all_says_whom_it_leaves_out(three: Three) -> None:
    anna, ben, _ = three
    message = anna.send("ben", b"To: joe@example.org, x\nSubject: s\n\n")
    anna.settled(message, "confirmed")
    done = ben.run("reply", message, "--all", "-m", "hi")
    assert done.code == 0
    assert "joe@example.org" in done.err


# --- the editor -------------------------------------------------------------------------


def test_a_letter_from_the_editor(three: Three) -> None:
    anna, ben, eve = three
    before = mails(ben)
    script = 'stat -c %a "$1" >"$0.mode"; printf "Hello\nfrom the editor\n" >>"$1"'
    seen = person(anna, script, "send", "--to", "ben", "--bcc", "eve", "-s", "Hi")
    assert seen.code == 0, seen
    assert "ben: " in seen.text
    assert "eve: " in seen.text
    assert (anna.path.parent / "editor.mode").read_text() == "600\n"
    assert stat.S_IMODE((anna.path / "drafts").stat().st_mode) == 0o700
    assert drafts(anna) == []
    row = last(ben, before)
    shown = ben.json("read", str(row["n"]))
    assert (row["subject"], shown["text"]) == ("Hi", "Hello\nfrom the editor")
    assert key_of(eve) not in ben.raw(row["n"])


def test_what_is_edited_counts(three: Three) -> None:
    anna, _, eve = three
    before = mails(eve)
    script = 'printf "to: eve\nSUBJECT: other\n\nbody\n" >"$1"'
    assert person(anna, script, "send", "--to", "ben", "-s", "Hi").code == 0
    assert last(eve, before)["subject"] == "other"
    (sent,) = anna.json("sent", "--limit", "1")
    assert [each["to"] for each in sent["deliveries"]] == ["eve"]


@pytest.mark.parametrize("script", ["true", 'printf "  \n\n" >>"$1"', ': >"$1"', 'rm "$1"'])
def test_no_words_no_letter(three: Three, script: str) -> None:
    anna, _, _ = three
    before = anna.json("sent", "--limit", "1")
    seen = person(anna, script, "send", "--to", "ben", "-s", "Hi")
    assert seen.code in (65, 66)
    assert "nothing was sent" in seen.text
    assert drafts(anna) == []
    assert anna.json("sent", "--limit", "1") == before


def test_an_editor_that_fails_or_is_not_there(three: Three) -> None:
    anna, _, _ = three
    seen = person(anna, 'echo words >>"$1"; exit 3', "send", "--to", "ben")
    assert seen.code == 75
    (row,) = drafts(anna)
    assert row["file"] in seen.text
    assert "drafts edit 1" in seen.text
    assert anna.json("drafts", "delete", "1") == {"deleted": [1]}
    seen = Terminal(anna, "send", "--to", "ben", env={"EDITOR": "/no/such/editor"}).end()
    assert (seen.code, drafts(anna)) == (64, [])
    assert anna.refuses(66, "drafts", "send", "1")["next"] == "willcall drafts"


def test_unknown_people_before_the_editor(three: Three) -> None:
    anna, _, _ = three
    seen = person(anna, 'touch "$0.ran"', "send", "--to", "ben,nobody")
    assert seen.code == 67
    assert not (anna.path.parent / "editor.ran").exists()
    assert drafts(anna) == []


def test_a_draft_survives_a_crash(three: Three) -> None:
    anna, ben, _ = three
    script = 'echo "half a word" >>"$1"; echo; echo "I am here"; sleep 60'
    terminal = Terminal(
        anna, "send", "--to", "ben", "-s", "Hi", env=editor(anna.path.parent, script)
    )
    terminal.sees("I am here")
    terminal.kill()
    (row,) = drafts(anna)
    assert (row["n"], row["to"], row["subject"]) == (1, ["ben"], "Hi")
    assert "1  ben" in anna.says("drafts")
    before = mails(ben)
    seen = person(anna, 'sed -i "s/half a/whole/" "$1"', "drafts", "edit", "1")
    assert seen.code == 0, seen
    assert drafts(anna) == []
    assert ben.json("read", str(last(ben, before)["n"]))["text"] == "whole word"


def test_a_failing_send_keeps_the_draft_and_says_where(three: Three) -> None:
    anna, ben, _ = three
    seen = person(anna, 'sed -i "s/^To:.*/To: bem/" "$1"; echo words >>"$1"', "send", "--to", "ben")
    assert seen.code == 67
    (row,) = drafts(anna)
    assert row["file"] in seen.text
    assert "drafts edit 1" in seen.text
    assert person(anna, "true", "drafts", "edit", "1").code == 67
    # The node goes away while the letter is written.
    script = f'sed -i "s/^To:.*/To: ben/" "$1"; kill {anna.pid}; sleep 1'
    seen = person(anna, script, "drafts", "edit", "1")
    anna.stop()
    assert seen.code == 69
    assert row["file"] in seen.text
    anna.start()
    sent = anna.json("drafts", "send", "1", "--wait", "10")
    assert [each["state"] for each in sent["deliveries"]] == ["confirmed"]
    assert drafts(anna) == []
    assert ben.json("read", sent["message"])["text"] == "words"


def test_answering_and_passing_on_in_the_editor(three: Three) -> None:
    anna, ben, eve = three
    question = anna.send("ben", b"Subject: Q\nMessage-ID: <1@x>\n\nWhy?\n")
    anna.settled(question, "confirmed")
    before = mails(anna)
    seen = person(ben, 'echo "Because." >>"$1"', "reply", question)
    assert seen.code == 0, seen
    n = str(last(anna, before)["n"])
    raw = anna.raw(n).decode()
    assert "In-Reply-To: <1@x>\r\n" in raw
    assert "Subject: Re: Q\r\n" in raw
    text = anna.json("read", n)["text"]
    assert text.strip("\n").startswith("anna wrote on ")
    assert text.endswith(":\n> Why?\nBecause.")
    assert person(ben, "true", "reply", question).code == 65
    before = mails(eve)
    seen = person(anna, 'echo "See below." >>"$1"', "forward", n, "--to", "eve")
    assert seen.code == 0, seen
    got = str(last(eve, before)["n"])
    assert anna.raw(n) in eve.raw(got)
    assert eve.json("read", got)["text"].startswith("See below.")
    assert Terminal(anna, "forward", n, "--to", "eve", "-m", "").end().code == 0


def test_a_letter_of_another_owner(three: Three) -> None:
    anna, _, _ = three
    anna.json("owner", "add", "otto")
    did = anna.json("--owner", "otto", "whoami")["did"]
    seen = person(anna, 'echo x >>"$1"; exit 1', "--owner", "otto", "send", "--to", "otto")
    assert seen.code == 75
    sent = anna.json("drafts", "send", "1")
    assert [each["did"] for each in sent["deliveries"]] == [did]
    assert len(anna.json("--owner", "otto", "sent")) == 1
