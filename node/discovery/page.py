"""The page behind an invite link, for a person who has no willcall: `GET /i/{did}`.

One page without a template engine, because it is one page. It is served in place and not as an
attachment, so it brings a policy of its own that allows exactly its style and its script (by
hash) and nothing else: no form, no frame, no request. What comes from outside is escaped.

The invite's token stays behind the `#`, so no server sees it. The script puts it into the line
to paste, if it has a token's form: a line for a shell must not carry what anybody appended to an
address. Without script the page says what to put there. Spec: 08 §8.1.
"""

import base64
import hashlib
import html
from string import Template

_STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1a;--faint:#55534d;--paper:#fdfcf9;--box:#f0ede4;
--line:#8a8678}
@media(prefers-color-scheme:dark){:root{--ink:#e9e7e1;--faint:#b4b0a6;--paper:#191917;--box:#272622;
--line:#7d796d}}
body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif}
main{max-width:40rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem}
pre{background:var(--box);border:1px solid var(--line);border-radius:.4rem;padding:.75rem;
margin:.5rem 0;white-space:pre-wrap;overflow-wrap:anywhere;font:.9375rem/1.5 ui-monospace,monospace;
user-select:all}
code{font-family:ui-monospace,monospace;font-size:.9375em;overflow-wrap:anywhere}
.faint{color:var(--faint);font-size:.9375rem}
.cut{border-left:.25rem solid var(--ink);padding-left:.75rem;font-weight:600}
"""

_SCRIPT = """
function fill(){
const token=location.hash.slice(1),whole=/^[A-Za-z0-9_-]{22}$/.test(token);
document.getElementById("token").textContent=whole?token:"TOKEN";
document.getElementById("by-hand").hidden=whole;
document.getElementById("cut").hidden=whole;
}
fill();
addEventListener("hashchange",fill);
"""


def _source(text: str) -> str:
    """How a policy names an inline style or script (CSP 3 §2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


POLICY = (
    f"default-src 'none'; style-src '{_source(_STYLE)}'; script-src '{_source(_SCRIPT)}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("Content-Disposition", "inline"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
)
"""What an own page is served with, instead of what holds for everything else."""

TYPE = "text/html; charset=utf-8"

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
"""

_INVITED = Template(
    _HEAD
    + """<h1>$who invites you to exchange mail by willcall</h1>
<p>willcall is mail that waits at its sender’s. What you write stays on your own computer, sealed,
until your correspondent’s computer calls for it. There is no account, no provider in between, and
what strangers send is not even fetched before you allow it.</p>
<p>It is a program for the command line of Linux. It does not exchange mail with today’s e‑mail.</p>
$reach
<h2>1. Get willcall, if you don’t have it</h2>
<p>$first In a terminal$where:</p>
<pre>$lines</pre>
<p>It prints 24 words, once: write them down, they bring your keys back. Then your node runs.</p>
<h2>2. Say who invited you</h2>
<pre>willcall contact add '$head#<span id="token">TOKEN</span>'</pre>
<p id="by-hand">In place of <code>TOKEN</code> put the 22 characters that stand after the
<code>#</code> at the end of this page’s address, in your browser’s address bar.</p>
<p id="cut" class="cut" hidden>The address of this page has no whole token at its end. Was the link
copied whole? Open it again, or ask for a new one.</p>
<p>Then $whom and you can write to each other:
<code>willcall send --to NAME -m 'Hello!'</code></p>
<h2>What to know</h2>
<p>The invite is for one person: whoever uses it first. What stands after the <code>#</code> makes
it valid; your browser keeps that to itself, and so this page’s server never sees it. Don’t pass the
link on.</p>
<p class="faint">$who’s key, by which you can compare whom you reached:<br><code>$did</code></p>
</main>
<script>$script</script>
</body>
</html>
"""
)

_NOBODY = Template(
    _HEAD
    + """<h1>Nobody is found at this address</h1>
<p>This is a willcall node, but it keeps no mail for the key in the address. The link may be old,
or was not copied whole.</p>
<p>Open the link again as you got it, or ask the person who sent it for a new one.</p>
</main>
</body>
</html>
"""
)

_NOTHING = Template(
    _HEAD
    + """<h1>There is no page at this address</h1>
<p>This is a willcall node: mail waits here until the node of its recipient calls for it. For people
it has <a href="/archives/">its archives</a>, and a page behind each invite link.</p>
</main>
</body>
</html>
"""
)

_REACH = {
    "this machine": "This link leads to the computer it was made on, and can be used only there.",
    "this network": "This link can be used only inside the network it was made in.",
}
"""What has to be said of a link that does not lead there from everywhere."""


def invited(*, name: str | None, did: str, head: str, reach: str, source: str) -> bytes:
    """The page for a person who was invited.

    Args:
        name: what the owner's record says; None: it says nothing.
        did: the owner's key, printed.
        head: the invite link without the `#` and what follows.
        reach: who can use the link, in the words of `invite`.
        source: where willcall can be cloned from; empty: the inviter is to be asked.
    """
    who = name or "Somebody"
    page = _INVITED.substitute(
        where="" if source else ", in the source’s folder",
        title=html.escape(f"{who} invites you: willcall"),
        style=_STYLE,
        script=_SCRIPT,
        who=html.escape(who),
        whom=html.escape(name or "the other side"),
        reach=f'<p class="cut">{_REACH[reach]}</p>' if reach in _REACH else "",
        first=_FIRST[bool(source)],
        lines=html.escape("\n".join(install(source)), quote=False),
        head=html.escape(head),
        did=html.escape(did),
    )
    return page.encode()


_FIRST = {
    True: "It is free software. It needs Git, make and Python 3.11 or 3.12.",
    False: "Ask for its source where you got the link. It needs make and Python 3.11 or 3.12.",
}


def install(source: str) -> tuple[str, str, str]:
    """The lines that install and start willcall."""
    if source:
        first = f"git clone {source} willcall && make -C willcall"
        return first, 'export PATH="$PWD/willcall/.venv/bin:$PATH"', "willcall init; willcall run &"
    return "make", 'export PATH="$PWD/.venv/bin:$PATH"', "willcall init; willcall run &"


def nobody() -> bytes:
    """The page for an address that names no owner of this node."""
    return _NOBODY.substitute(title="Nobody is found: willcall", style=_STYLE).encode()


def nothing() -> bytes:
    """The page for an address where nothing is, for a person who came there."""
    return _NOTHING.substitute(title="No such page: willcall", style=_STYLE).encode()
