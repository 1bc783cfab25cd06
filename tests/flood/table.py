"""What is measured of a node's process, and the lines of the table."""

import math
import os
from pathlib import Path

from tests.e2e.homes import Home


def row(what: str, figure: str, goal: str) -> None:
    """One line of the table."""
    print(f"{what:<62} {figure:>16}   {goal}", flush=True)


def memory(home: Home) -> float:
    """MiB that the node holds."""
    text = Path(f"/proc/{home.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def cpu(home: Home) -> float:
    """Seconds that the node has worked, all its threads, ended ones too (proc_pid_stat(5))."""
    fields = Path(f"/proc/{home.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def p99(times: list[float], percent: float = 99) -> float:
    """Milliseconds that so many percent of the times do not exceed."""
    return sorted(times)[max(0, math.ceil(len(times) * percent / 100) - 1)] * 1000
