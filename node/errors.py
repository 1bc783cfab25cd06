"""Every error willcall raises on purpose.

    WillcallError
    ├── Malformed      400  the bytes or words are not of their form
    │   ├── TooLarge   413  more bytes than the limit for this kind
    │   └── Media      415  another content type than the call takes
    ├── Unverified     422  well formed, but a hash, signature, box or proof does not hold
    ├── Refused        403  understood, and not allowed
    │   ├── NoToken    401  no token, or one that opens nothing
    │   ├── RateLimited 429
    │   └── OverQuota  507
    ├── Absent         404  there is no such thing here
    │   ├── NoContact  404
    │   └── Gone       410  there was, and it is over
    ├── Conflict       409  it exists already
    ├── Unreachable    502  the other side did not answer, or not as agreed (try again)
    ├── StoreFailed    500  the store could not write or read
    │   ├── DiskFull   507
    │   └── Damaged    500
    └── Usage          400  the command was called wrongly
        ├── NotRunning      no node answers at this home
        ├── AlreadyRunning  another node holds this home
        ├── PortInUse       the address to listen on is taken
        ├── NotYet          the wait ran out
        └── ConfigBroken    the configuration can't be used

A class carries its reason word (stable, for programs), HTTP status (RFC 9457 problem),
exit code (sysexits) and whether trying again can help. The text is for people: what,
which, and what to do next. It never holds a body, a key or a token.

The floors from `encoding` to `machines` raise only `Malformed` and `Unverified`.
"""


class WillcallError(Exception):
    """The root of all errors that are raised on purpose.

    Args:
        text: one sentence for a person.
        reason: a stable word for programs; the class's own when left out.
        next: what to do next, as a command or half a sentence.
    """

    reason = "error"
    status = 500
    exit_code = 70
    retry = False

    def __init__(self, text: str, *, reason: str | None = None, next: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason or type(self).reason
        self.next = next


class Malformed(WillcallError):
    """The bytes or words are not of their form."""

    reason, status, exit_code = "malformed", 400, 65


class TooLarge(Malformed):
    """More bytes than the limit for this kind."""

    reason, status = "too-large", 413


class Media(Malformed):
    """Another content type than the call takes."""

    reason, status = "media-type", 415


class Unverified(WillcallError):
    """Well formed, but a hash, signature, box or proof does not hold."""

    reason, status, exit_code = "forged", 422, 65


class Refused(WillcallError):
    """Understood, and not allowed."""

    reason, status, exit_code = "refused", 403, 77


class NoToken(Refused):
    """No token, or one that opens nothing."""

    reason, status = "bad-token", 401


class RateLimited(Refused):
    """Too much in too short a time."""

    reason, status, retry = "rate-limited", 429, True


class OverQuota(Refused):
    """The owner's quota has no room for it."""

    reason, status, exit_code = "over-quota", 507, 73


class Absent(WillcallError):
    """There is no such message, file or page here."""

    reason, status, exit_code = "absent", 404, 66


class NoContact(Absent):
    """There is no such contact, owner or archive."""

    reason, exit_code = "no-contact", 67


class Gone(Absent):
    """There was such a thing, and it is over."""

    reason, status = "gone", 410


class Conflict(WillcallError):
    """It exists already; nothing was changed."""

    reason, status, exit_code = "exists", 409, 73


class Unreachable(WillcallError):
    """The other side did not answer, or not as agreed."""

    reason, status, exit_code, retry = "unreachable", 502, 69, True


class StoreFailed(WillcallError):
    """The store could not write or read."""

    reason, status, exit_code, retry = "store", 500, 74, True


class DiskFull(StoreFailed):
    """No room is left on the disk."""

    reason, status = "disk-full", 507


class Damaged(StoreFailed):
    """The store holds something it did not write."""

    reason, retry = "damaged", False


class Usage(WillcallError):
    """The command was called wrongly."""

    reason, status, exit_code = "usage", 400, 64


class NotRunning(Usage):
    """No node answers at this home."""

    reason, exit_code = "not-running", 69


class AlreadyRunning(Usage):
    """Another node holds this home."""

    reason, exit_code = "already-running", 75


class PortInUse(Usage):
    """The address to listen on is taken."""

    reason, exit_code = "port-in-use", 69


class NotYet(Usage):
    """The wait ran out before it happened."""

    reason, exit_code = "not-yet", 75


class ConfigBroken(Usage):
    """The configuration can't be used."""

    reason, exit_code = "config", 78
