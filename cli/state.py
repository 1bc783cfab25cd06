"""The global options, as they were given."""

import os
import re
import time
from pathlib import Path

from cli.local import Local, default_home, home_of
from node.errors import Usage

_COMMAND = re.compile(r"(?<!they run: )\bwillcall (?!--home)(?![a-z ]*--help)(?=[-a-z])")
"""Where a hint names a command of ours."""


class State:
    """What holds for the whole command."""

    home: str | None = None
    node: str | None = None
    owner: str | None = None
    json: bool = False

    def local(self) -> Local:
        """The client of the node that is meant.

        `--node` and `--home` beat `WILLCALL_NODE`, that beats `WILLCALL_HOME`, that beats
        `willcall login`; without any of them it is the usual home's.

        Raises:
            Usage: both options were given.
        """
        if self.node is not None and self.home is not None:
            raise Usage("--node and --home name two nodes", next="leave out one of them")
        named = self.node or (os.environ.get("WILLCALL_NODE") if self.home is None else None)
        if named:
            from cli import remote

            return remote.at(named, self.owner)
        if self.home is None and not os.environ.get("WILLCALL_HOME"):
            return self._usual()
        return Local(home_of(self.home), self.owner, _age())

    def pasted(self, hint: str) -> str:
        """A hint whose commands go where this one went, as they stand."""
        if self.home is None:
            return hint
        import shlex

        words = f"willcall --home {shlex.quote(self.home)} "
        return _COMMAND.sub(lambda _: words, hint)

    def _usual(self) -> Local:
        from cli import remote

        known = remote.saved()
        if known is None:
            return Local(default_home(), self.owner, _age())
        return remote.at(known["node"], self.owner)


def _age() -> float:
    """Seconds since this process began; 0.0 where the system does not tell (proc(5), field 22)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    ticks = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks


STATE = State()
