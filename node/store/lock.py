"""One node per home.

LevelDB's own lock is lost when the same process fails to open the database a second time, and
another process then gets in and both write. So the home has a lock file of its own.
"""

import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from node.errors import AlreadyRunning, StoreFailed


class HomeLock:
    """Holds a home from construction to `close` or the death of the process.

    The file stays when the lock is let go: removing it would let two nodes hold two files of
    one name. A forked child shares the lock, so children that may outlive the node are spawned.

    Args:
        path: the lock file, directly in the home, whose folder exists. It holds the pid as text.

    Raises:
        AlreadyRunning: another one holds it (in this process too).
        StoreFailed: the file can't be opened or locked.
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        except OSError as error:
            holder = self._holder() if error.errno in (errno.EAGAIN, errno.EACCES) else ""
            self.close()
            raise _translated(path, holder, error) from error

    def close(self) -> None:
        """Lets go; twice is harmless."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _holder(self) -> str:
        if self._fd < 0:
            return ""
        pid = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
        # Between its lock and its write the other one has no pid there yet.
        return f"process {pid}" if pid else "another process"


def _translated(path: Path, holder: str, error: OSError) -> StoreFailed | AlreadyRunning:
    if holder:
        return AlreadyRunning(
            f"A node is running already for {path.parent} ({holder}).",
            next="use it, or stop it first",
        )
    return StoreFailed(f"The lock file {path} can't be used: {error.strerror}.")
