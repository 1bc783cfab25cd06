"""Problem documents (RFC 9457): how errors are told over HTTP, to peers, browsers and ourselves.

The words are those of `node.errors`; `reason` is the stable one.
"""

import json
from http import HTTPStatus

from node.errors import WillcallError
from node.ports import PROBLEM, Response


def problem(
    status: int, detail: str, reason: str, *, next: str | None = None, exit_code: int | None = None
) -> Response:
    """A problem document (RFC 9457); `reason` is the stable word for programs.

    Args:
        detail: one sentence for a person, free of bodies, keys and tokens.
        next: what to do next, for our own command line.
        exit_code: what our own command line ends with.
    """
    known: dict[str, object] = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "reason": reason,
    }
    extra = {"next": next, "exit": exit_code}
    known.update({key: value for key, value in extra.items() if value is not None})
    body = json.dumps(known, ensure_ascii=False).encode("utf-8", "replace")
    return Response(status=status, body=body, content_type=PROBLEM)


def problem_of(error: WillcallError) -> Response:
    """The problem document of an error that was raised on purpose."""
    return problem(
        error.status, error.text, error.reason, next=error.next, exit_code=error.exit_code
    )


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a status that Python has no phrase for; the number still says it
        return f"Status {status}"
