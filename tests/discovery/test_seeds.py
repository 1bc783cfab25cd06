"""The list of seeds: signed, bounded, and made by a tool that checks it."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.crypto import keys, note
from node.discovery import seeds
from node.discovery.seeds import Seeds
from node.encoding import names
from node.errors import Malformed, Unverified
from node.objects.record import Endpoint
from node.units import Instant
from tests.conftest import CHECKOUT

SECRET = bytes(range(32))
VKEY = seeds.vkey(keys.public(SECRET))
PIN = b"\x07" * 32
SAID = Seeds(
    issued=Instant(1_795_132_800_000),
    places=(Endpoint(origin="a.example:4625"), Endpoint(origin="[2001:db8::1]:443", pin=PIN)),
)


def test_the_list_of_this_release_holds() -> None:
    found = seeds.verify((CHECKOUT / "bootstrap" / "seeds.txt").read_bytes())
    assert found.issued > 0


def test_what_is_signed_is_read() -> None:
    signed = seeds.sign(SAID, SECRET)
    assert seeds.verify(signed, VKEY) == SAID
    assert signed.startswith(
        b"willcall seeds v1\n1795132800000\na.example:4625\n"
        b"[2001:db8::1]:443 " + names.b64(PIN).encode() + b"\n\n"
    )
    empty = Seeds(issued=Instant(0))
    assert seeds.verify(seeds.sign(empty, SECRET), VKEY) == empty


@pytest.mark.parametrize("at", range(0, 150, 7))
def test_a_changed_byte_is_noticed(at: int) -> None:
    signed = bytearray(seeds.sign(SAID, SECRET))
    signed[at] ^= 1
    with pytest.raises((Malformed, Unverified)):
        seeds.verify(bytes(signed), VKEY)


def test_another_key_is_not_enough() -> None:
    for name in (seeds.NAME, "somebody"):
        signed = note.sign(seeds.text_of(SAID), name, b"x" * 32)
        with pytest.raises(Unverified):
            seeds.verify(signed, VKEY)


BAD = (
    b"",
    b"\n",
    b"willcall seeds v1\n",
    b"willcall seeds v2\n0\n",
    b"willcall seeds v1\n-1\n",
    b"willcall seeds v1\n01\n",
    b"willcall seeds v1\n9999999999999999\n",
    "willcall seeds v1\n٣\n".encode(),
    b"willcall seeds v1\n0\nexample.org\n",
    b"willcall seeds v1\n0\nexample.org:443 \xff\n",
    b"willcall seeds v1\n0\nexample.org:443 AAAA\n",
    b"willcall seeds v1\n0\na.example:1\n\nb.example:1\n",
    b"willcall seeds v1\n0\na.example:1\na.example:1\n",
    b"willcall seeds v1\n0\n" + b"".join(b"a%d.example:1\n" % n for n in range(65)),
)


@pytest.mark.parametrize("text", BAD)
def test_lists_that_are_none(text: bytes) -> None:
    with pytest.raises(Malformed):
        seeds.parse(text)


def tool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bootstrap", *map(str, words)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_tool_makes_signs_and_checks(tmp_path: Path) -> None:
    key, made = tmp_path / "key", tmp_path / "seeds.txt"
    printed = tool("key", key).stdout
    vkey = printed.split('"')[1]
    assert key.stat().st_mode & 0o777 == 0o600
    places = [seeds.line_of(place) for place in SAID.places]
    made.write_text(tool("sign", key, *places).stdout)
    assert seeds.verify(made.read_bytes(), vkey).places == SAID.places
    # By the key of this release it is not signed.
    refused = tool("check", made)
    assert (refused.returncode, refused.stdout) == (65, "")
    assert tool("check").returncode == 0
    again = tool("key", key)
    assert (again.returncode, again.stdout) == (73, "")
    assert tool("sign", key, places[0], places[0]).returncode == 65
    assert tool("sign", tmp_path / "none").returncode == 66
    assert tool("sign", made, places[0]).returncode == 65


def test_errors_are_told_in_one_line(tmp_path: Path) -> None:
    refused = tool("check", tmp_path)
    assert refused.stderr.count("\n") == 1
