"""Mail for display: a child that dies, hangs or lies costs one message, not the program."""

import json
import os
import time
from pathlib import Path

import pytest

from cli import reading
from node.errors import StoreFailed

LETTER = (
    b"Subject: files\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\n\r\ntext\r\n"
    b'--b\r\nContent-Disposition: attachment; filename="../../evil.txt"\r\n\r\none\r\n'
    b'--b\r\nContent-Disposition: attachment; filename="plain.txt"\r\n\r\ntwo\r\n--b--\r\n'
)


def test_display() -> None:
    shown = reading.displayed(LETTER)
    assert shown["text"].strip() == "text"
    assert [each["name"] for each in shown["attachments"]] == ["evil.txt", "plain.txt"]


def test_saving_stays_in_its_folder_and_writes_over_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for names in (["evil.txt", "plain.txt"], ["evil-2.txt", "plain-2.txt"]):
        saved, marks = reading.saved(LETTER, str(folder))
        assert saved == [str(folder / name) for name in names]
        assert marks == []
    assert (folder / "plain-2.txt").read_bytes() == b"two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed) as found:
        reading.saved(LETTER, str(tmp_path / "file"))
    assert found.value.next == "--save another folder"


def _dies(content: bytes) -> list[bytes]:
    os._exit(9)


def _hangs(content: bytes) -> list[bytes]:
    time.sleep(60)
    return []


def _fills_memory(content: bytes) -> list[bytes]:
    return [bytes(4 << 30)]


@pytest.mark.parametrize("parse", [_dies, _hangs, _fills_memory])
def test_a_child_that_fails(parse: reading.Parse) -> None:
    assert reading._in_child(parse, b"", 0.5) is None


def test_what_is_shown_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_display", _dies)
    shown = reading.displayed(b"Subject: x\x1b\n\nGr\xc3\xbc\xc3\x9fe \xff")
    assert shown["text"] == "Subject: x�\n\nGrüße �"
    assert "could not be parsed" in shown["marks"][0]
    json.dumps(shown)
