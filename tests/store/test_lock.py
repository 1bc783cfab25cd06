import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import AlreadyRunning, StoreFailed
from node.store.lock import HomeLock
from tests.conftest import CHECKOUT

HOLD = """
import sys
from pathlib import Path
from node.store.lock import HomeLock
lock = HomeLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_is_told_who_holds_what(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with HomeLock(path):
        for _ in range(2):
            with pytest.raises(AlreadyRunning) as caught:
                HomeLock(path)
            assert str(os.getpid()) in caught.value.text
            assert str(tmp_path) in caught.value.text
            assert caught.value.exit_code == 75
    assert path.stat().st_mode & 0o777 == 0o600


def test_closing_lets_the_next_one_in(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "lock")
    lock.close()
    lock.close()
    HomeLock(tmp_path / "lock").close()


def test_a_longer_pid_before_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("99999999999\n")
    with HomeLock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_without_a_pid_yet_it_is_another_process(tmp_path: Path) -> None:
    with HomeLock(tmp_path / "lock"):
        (tmp_path / "lock").write_text("")
        with pytest.raises(AlreadyRunning, match="another process"):
            HomeLock(tmp_path / "lock")


def test_a_missing_home_is_store_failed(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="lock"):
        HomeLock(tmp_path / "nowhere" / "lock")


def test_the_death_of_its_process_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, os.fspath(path)]
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=f"process {child.pid}"):
            HomeLock(path)
        child.send_signal(signal.SIGKILL)
        child.wait()
        HomeLock(path).close()
