"""The global options, as they were given."""

from cli.local import Local, home_of


class State:
    """What holds for the whole command."""

    home: str | None = None
    owner: str | None = None
    json: bool = False

    def local(self) -> Local:
        """The client of this home's node."""
        return Local(home_of(self.home), self.owner)


STATE = State()
