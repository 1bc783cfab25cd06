"""Mail taken apart in a child that may be killed."""

from pathlib import Path

import pytest
import trio

from node.ports import Words
from node.search import reader
from node.search.reader import ChildReader
from tests.mail.test_display import SOURCE

PLAIN = b"Subject: offer\nFrom: anna <a@b.example>\nTo: ben\nCc: carl\n\nA boat\n"


async def test_what_is_in_a_message() -> None:
    made = ChildReader()
    assert await made.words(PLAIN) == Words("offer", "anna <a@b.example> ben carl", "A boat")
    words = await made.words(
        b'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/html\n\n'
        b"<p>Gr&uuml;&szlig;e<script>no()</script>\n--x\n"
        b'Content-Disposition: attachment; filename="plan.pdf"\n\nx\n--x--\n'
    )
    assert words is not None
    assert words.body.split() == ["Grüße", "plan.pdf"]
    await made.close()
    await made.close()


@pytest.mark.slow
async def test_hostile_mail_does_not_stop_it() -> None:
    made = ChildReader()
    for content in SOURCE.values():
        await made.words(content)
        assert (await made.words(PLAIN)) is not None
    await made.close()


@pytest.mark.parametrize("script", ["import time\ntime.sleep(600)", "raise SystemExit(1)", ""])
async def test_a_child_that_hangs_or_dies_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    bad = tmp_path / "child.py"
    bad.write_text(script)
    made, good = ChildReader(), reader.CHILD
    monkeypatch.setattr(reader, "SECONDS", 1.0)
    monkeypatch.setattr(reader, "CHILD", bad)
    assert await made.words(PLAIN) is None
    monkeypatch.setattr(reader, "CHILD", good)
    monkeypatch.setattr(reader, "SECONDS", 20.0)
    assert await made.words(PLAIN) is not None
    await made.close()


async def test_a_cancelled_search_leaves_no_child() -> None:
    made = ChildReader()
    assert await made.words(PLAIN) is not None
    child = made._child
    assert child is not None
    with trio.CancelScope() as scope:
        scope.cancel()
        await made.close()
    assert child.returncode is not None
