"""The list of seeds, for whoever makes releases.

    python -m bootstrap check [FILE]             who is on the list, if its signature holds
    python -m bootstrap key FILE                 a new release key; prints what goes into the code
    python -m bootstrap sign KEYFILE [PLACE…]    the signed list of these places, on stdout

A PLACE is `host:port`, or `host:port PIN` in one argument. The list belongs into
`bootstrap/seeds.txt`, the printed key into `node/discovery/seeds.py`: both in one commit.
"""

import argparse
import os
import sys
from pathlib import Path

from node.crypto import keys
from node.discovery import seeds
from node.discovery.seeds import Seeds
from node.encoding import names
from node.errors import Absent, Conflict, Malformed, WillcallError
from node.system import SystemClock, SystemRandomness

LIST = Path(__file__).with_name("seeds.txt")


def main(arguments: list[str]) -> int:
    """The program; its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        made: str = asked.work(asked)
    except WillcallError as error:
        sys.stderr.write(f"seeds: {error.text}\n")
        return error.exit_code
    sys.stdout.write(made)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bootstrap", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(required=True, metavar="check | key | sign")
    check = commands.add_parser("check", help="who is on the list, if its signature holds")
    check.add_argument("file", nargs="?", type=Path, default=LIST)
    check.set_defaults(work=_check)
    key = commands.add_parser("key", help="a new release key")
    key.add_argument("file", type=Path, help="where its secret goes; must be new")
    key.set_defaults(work=_key)
    sign = commands.add_parser("sign", help="a signed list, on stdout")
    sign.add_argument("key", type=Path, help="the release key's file")
    sign.add_argument("place", nargs="*", help="host:port, or 'host:port PIN'")
    sign.set_defaults(work=_sign)
    return parser


def _check(asked: argparse.Namespace) -> str:
    found = seeds.verify(_read(asked.file))
    lines = [f"{len(found.places)} seeds; the signature of {asked.file} holds"]
    return "".join(f"{line}\n" for line in [*lines, *map(seeds.line_of, found.places)])


def _key(asked: argparse.Namespace) -> str:
    secret = SystemRandomness().bytes(32)
    try:
        with open(asked.file, "x", encoding="ascii", opener=_private) as file:
            file.write(names.b64(secret) + "\n")
    except FileExistsError as error:
        raise Conflict(f"there is {asked.file} already; nothing was changed") from error
    return f'VKEY = "{seeds.vkey(keys.public(secret))}"\n'


def _sign(asked: argparse.Namespace) -> str:
    secret = names.unb64(_read(asked.key).decode("ascii", "replace").strip())
    if len(secret) != 32:
        raise Malformed(f"{asked.key} holds no release key")
    said = Seeds(
        issued=SystemClock().now(), places=tuple(seeds.parse_line(place) for place in asked.place)
    )
    seeds.parse(seeds.text_of(said))  # one place twice, or too many
    return seeds.sign(said, secret).decode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Absent(f"{path} can't be read: {error.strerror}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
