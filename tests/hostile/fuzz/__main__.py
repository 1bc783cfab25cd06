"""Coverage-guided fuzzing: `make fuzz [TARGET=mail] [SECONDS=60]`.

Each target runs in a process of its own. What breaks a target is written to `saved/`, where the
ordinary tests run it again: mend, and commit it with the mend.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostile.fuzz.targets import TARGETS, keep, saved

TOLD = ("#", "stat::", "==", "INFO:")


def main(words: Sequence[str]) -> int:
    """Fuzzes the target named first (all, without), so many seconds each."""
    name, seconds = (*words, *("", "60")[len(words) :])[:2]
    if name and name not in TARGETS:
        print(f"no such target: {name}; there are: {', '.join(TARGETS)}", file=sys.stderr)
        return 64
    found = [each for each in ([name] if name else TARGETS) if not survived(each, seconds)]
    if found:
        print(f"found something in: {', '.join(found)}; see tests/hostile/fuzz/saved")
    return 1 if found else 0


def survived(name: str, seconds: str) -> bool:
    """Fuzzes one target in a child; prints what it covered."""
    with TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, data in enumerate((*TARGETS[name].seeds, *saved(name))):
            (corpus / str(number)).write_bytes(data)
        words = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=2048"]
        words += ["-print_final_stats=1", f"-artifact_prefix={folder}/", str(corpus)]
        command = [sys.executable, "-m", "tests.hostile.fuzz.child", name, *words]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        for path in Path(folder).glob("*-*"):
            keep(name, path.read_bytes())
    lines = done.stderr.splitlines()
    covered = [line for line in lines if " cov: " in line][-1:]
    runs = [line.split()[-1] for line in lines if line.startswith("stat::number_of_executed")]
    print(f"{name}: {' '.join(runs)} runs; {' '.join(covered).strip()}", flush=True)
    if done.returncode:
        print("\n".join(lines[-30:]), flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
