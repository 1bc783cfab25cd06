from pathlib import Path

import pytest

from node.mail import mbox


@pytest.fixture(scope="session")
def mail(corpus: Path) -> dict[str, bytes]:
    """Every single message of the corpus, and those of its one mboxrd archive."""
    rows = [line.split("\t") for line in (corpus / "MANIFEST.tsv").read_text().splitlines()[1:]]
    found = {row[0]: (corpus / row[0]).read_bytes() for row in rows if row[3] == "mail"}
    for row in rows:
        if row[3] == "mboxrd":
            archive = mbox.split([(corpus / row[0]).read_bytes()])
            found |= {f"{row[0]}#{number}": content for number, content in enumerate(archive)}
    return found
