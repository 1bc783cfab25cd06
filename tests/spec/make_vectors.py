"""Writes docs/spec/vectors and page 09: `python -m tests.spec.make_vectors`.

Everything follows from given seeds, so a second run writes the same bytes; a test holds the
files against it. The positive entries are checked by `independent`, which shares nothing with
the implementation that made them.
"""

from collections.abc import Callable
from typing import Any

from tests.spec import (
    archives,
    backups,
    bad,
    example,
    form,
    good,
    pickups,
    private,
    reports,
    spellings,
)


def _keys() -> Any:
    return {"people": [good.person(who) for who in good.PEOPLE], "compared": good.compared()}


def _objects() -> Any:
    return {"objects": good.objects()}


def _sealing() -> Any:
    found = good.sealing()
    return found | {
        "steps": list(pickups.STEPS),
        "parts": pickups.parts(),
        "refused_boxes": pickups.boxes(),
        "pickups": pickups.pickups(),
    }


def _records() -> Any:
    return {"successions": good.successions()}


def _refused() -> Any:
    return {"refused": bad.refused()}


FILES: dict[str, Callable[[], Any]] = {
    "keys.json": _keys,
    "encodings.json": spellings.encodings,
    "spellings.json": spellings.spellings,
    "objects.json": _objects,
    "batches.json": good.batches,
    "sealing.json": _sealing,
    "tokens.json": good.token_entries,
    "records.json": _records,
    "transfer.json": good.transfer,
    "refused.json": _refused,
    "backup.json": backups.backups,
    "example.json": example.document,
    "archives.json": archives.document,
    "private.json": private.document,
    "reports.json": reports.document,
}


def main() -> None:
    """Writes all files."""
    form.FOLDER.mkdir(parents=True, exist_ok=True)
    for name, build in FILES.items():
        (form.FOLDER / name).write_text(form.dump(build()), "utf-8")
    example.PAGE.write_text(example.page(), "utf-8")


if __name__ == "__main__":
    main()
