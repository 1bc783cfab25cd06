"""`key rotate | replace`: keys that are renewed."""

import typer

from cli import phrase, render
from cli.state import STATE

keys = typer.Typer(
    name="key", help="Your keys, renewed.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.add_typer(keys)


@keys.command()
def rotate() -> None:
    """A new key to seal mail to; your contacts are told. You stay who you are.

    What was sealed to the old one opens for 400 days. Who gets at the home later can't open mail
    sealed to keys that are gone by then. Example: willcall key rotate
    """
    with render.patience("telling contacts, up to 10 s"):
        row = STATE.local().post("rotate")
    if STATE.json:
        render.document(row)
        return
    told, contacts = row["told"], row["contacts"]
    render.line(
        f"mail to you is sealed to a new key; {told} of {contacts} contacts know it already"
    )
    if told < contacts:
        render.line("The others are told as soon as they answer; until then they use the old one.")
    if row["dropped"]:
        render.line("The oldest of the keys kept for mail on its way was dropped: four are kept.")


@keys.command()
def replace() -> None:
    """A new key in place of one that somebody else may have; needs the 24 words, from stdin.

    For the day when a machine with your home was stolen: on another one, after init --recover or
    restore. Your contacts move to the new key, keep what they call you, and refuse the old one,
    whoever goes on with it. There is no way back. The new key has words of its own.
    Example: willcall key replace < words.txt
    """
    words = phrase.asked()
    with render.patience("telling contacts, up to 10 s"):
        row = STATE.local().post("replace", words=words)
    if STATE.json:
        render.document(row)
        return
    old = row["old"]["name"]
    render.line(f"{row['name'] or 'You'} goes on with a new key: {row['did']}")
    phrase.show("Its recovery phrase. Write it down now", row["recovery_phrase"])
    render.line("The old words are needed for old backups, and for nothing else.")
    render.line(f"{row['told']} of {row['contacts']} contacts have moved to it already.")
    if row["told"] < row["contacts"]:
        render.line("The others are told as soon as they answer.")
    render.line(f"What was there stays with the old key: willcall --owner {old} inbox")
    if row["open"]:
        render.line(f"{row['open']} letters of it were not confirmed; they are refused: send them")
        render.line(f"again from the new one (willcall --owner {old} sent --open).")
    render.note("Tokens and open invites of the old key are void.")
    render.hint("willcall backup FILE; contacts that this home does not know: contact add ADDRESS")
