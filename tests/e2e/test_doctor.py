"""`doctor` at real homes: stopped, running, and with things wrong."""

import json
import os
import shutil
import socket
from typing import Any

import pytest

from tests.e2e.conftest import Make
from tests.e2e.homes import Done, Home, meet
from tests.e2e.test_trouble import shifted


def findings(done: Done) -> dict[str, dict[str, Any]]:
    """By check; every one that is not well says what to do."""
    rows = json.loads(done.out)
    for row in rows:
        assert set(row) == {"check", "state", "detail", "next"}
        assert row["state"] in ("ok", "warn", "fail", "unknown")
        assert row["next"] or row["state"] == "ok", row
    assert len({row["check"] for row in rows}) == len(rows)
    return {row["check"]: row for row in rows}


def states(home: Home, code: int = 0) -> dict[str, str]:
    done = home.run("--json", "doctor")
    assert done.code == code, done
    return {name: row["state"] for name, row in findings(done).items()}


def test_a_node_that_is_stopped_and_one_that_runs(make: Make) -> None:
    anna, ben = make("anna"), make("ben")
    before = anna.fingerprint()
    made = states(anna)
    assert made["node"] == "warn"
    assert {made[name] for name in ("clock", "files", "backup", "reach")} == {"unknown"}
    assert {made[name] for name in ("home", "disk", "port", "origin", "tls")} == {"ok"}
    assert anna.fingerprint() == before, "it looks, and changes nothing"
    for home in (anna, ben):
        home.start()
    assert anna.refuses(67, "doctor", "reach")["next"].startswith("willcall invite")
    meet(anna, ben)
    made = states(anna)
    assert {made[name] for name in ("node", "clock", "files", "port")} == {"ok"}
    assert made["backup"] == "warn"
    (row,) = anna.json("doctor", "reach", "ben")
    assert row["state"] == "ok"
    assert "this machine" in row["detail"]
    assert ben.json("inbox") == []
    said = anna.says("doctor")
    assert "\nwarn  backup " in said
    assert f"\n                   next: willcall --home {anna.path} backup" in said
    ben.stop()
    (row,) = anna.json("doctor", "reach", "ben")
    assert (row["state"], "no-connection" in row["detail"]) == ("unknown", True)


def test_things_that_fail(make: Make) -> None:
    anna = make("anna")
    with socket.create_server(("127.0.0.1", anna.port)):
        assert states(anna, 69)["port"] == "fail"
    anna.path.chmod(0o750)
    assert states(anna, 78)["home"] == "fail"
    anna.path.chmod(0o700)
    (anna.path / "config.toml").write_text("nonsense")
    done = anna.run("--json", "doctor")
    assert done.code == 78
    assert findings(done)["home"]["next"] == f"willcall --home {anna.path} config check"


UNARMED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
"""Rights hold for root too."""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
@pytest.mark.parametrize(
    ("name", "mode"), [("lock", 0o400), ("db", 0o500), ("db", 0), ("db/LOCK", 0o400), (".", 0o500)]
)
def test_what_this_user_may_not_write_is_named(make: Make, name: str, mode: int) -> None:
    anna = make("anna")
    anna.before = UNARMED if os.geteuid() == 0 else ()
    path = anna.path / name
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        said = anna.refuses(77, "run")
        done = anna.run("--json", "doctor")
    finally:
        path.chmod(before)
    assert said["detail"] == f"{path} may not be written to by this user"
    assert said["next"].startswith(f"ls -ld {path}")
    assert done.code == 77
    assert findings(done)["home"]["detail"] == said["detail"]
    assert findings(done)["home"]["next"] == said["next"]


def test_a_name_nobody_has_and_files_that_are_not_there(make: Make) -> None:
    anna = make("anna")
    anna.configure(
        network={"origin": "nowhere.invalid:443"},
        tls={"by": "files", "certificate": "none.pem", "key": "none.key"},
    )
    made = findings(anna.run("--json", "doctor"))
    assert (made["dns"]["state"], made["tls"]["state"]) == ("fail", "fail")
    assert "A or AAAA" in made["dns"]["next"]


def test_a_wrong_clock(make: Make) -> None:
    anna, ben = make("anna"), make("ben")
    for home in (anna, ben):
        home.start()
    meet(anna, ben)
    anna.stop()
    anna.env = shifted("+20m")
    anna.start()
    done = anna.run("--json", "doctor")
    assert done.code == 78
    row = findings(done)["clock"]
    assert row["state"] == "fail"
    assert "20 min ahead of" in row["detail"] or "19 min ahead of" in row["detail"]
