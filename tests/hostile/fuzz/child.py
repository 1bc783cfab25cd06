"""One target under atheris; started by `python -m tests.hostile.fuzz`, once for each target."""

import sys

import atheris

with atheris.instrument_imports(include=["node", "h11", "email"]):
    from tests.hostile.fuzz.targets import TARGETS

if __name__ == "__main__":
    run = TARGETS[sys.argv.pop(1)].run
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
