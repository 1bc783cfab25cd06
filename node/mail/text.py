"""Foreign bytes into text that can be put on a terminal.

Decides which charsets are believed and which characters are shown as themselves. Where a
text comes from (a header field, a part, HTML) is the callers'. Nothing here can raise on
foreign bytes, and every function is linear in its input.
"""

import re

LINE = 998
"""Characters of a shown header value: the longest line RFC 5322 §2.1.1 allows."""
_NAME = 40
"""Characters of a charset name: IANA's longest preferred name has 19, its longest alias 45."""

_LATIN = {f"iso-8859-{n}": f"iso8859-{n}" for n in range(1, 17) if n != 12}
_WINDOWS = {f"windows-{n}": f"cp{n}" for n in (874, *range(1250, 1259))}
_CHARSETS = (
    _LATIN
    | _WINDOWS
    | {f"cp{n}": f"cp{n}" for n in (437, 850, 852, 855, 858, 866, 932, 949, *range(1250, 1259))}
    | {name: name for name in ("utf-8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-7")}
    | {name: name for name in ("koi8-r", "koi8-u", "big5", "euc-jp", "hz", "tis-620")}
    | {f"iso-2022-{name}": f"iso2022_{name.replace('-', '_')}" for name in ("jp", "jp-2", "kr")}
    # What the label says and what mail means by it, as the WHATWG Encoding Standard has it.
    | {"iso-8859-1": "cp1252", "latin1": "cp1252", "iso8859-1": "cp1252", "iso-8859-9": "cp1254"}
    | {"utf8": "utf-8", "unicode-1-1-utf-7": "utf-7", "macintosh": "mac_roman"}
    | {"gb2312": "gb18030", "gbk": "gb18030", "gb18030": "gb18030", "cp936": "gb18030"}
    | {"hz-gb-2312": "hz", "big5-hkscs": "big5hkscs", "iso-8859-8-i": "iso8859-8"}
    | {"shift-jis": "cp932", "sjis": "cp932", "windows-31j": "cp932", "x-sjis": "cp932"}
    | {"euc-kr": "cp949", "ks-c-5601-1987": "cp949", "ksc5601": "cp949", "windows-949": "cp949"}
)
_GUESSED = frozenset({"", "ascii", "us-ascii", "unknown-8bit", "x-unknown", "default", "7bit"})

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_SPACES = re.compile("[\t\n\r\x0b\x0c\u2028\u2029]")


def _shown(code: int) -> str:
    """How a character that must not reach a terminal is shown instead."""
    if code < 0x20:
        return chr(0x2400 + code)  # the control pictures: ESC becomes ␛
    if code == 0x7F:
        return "\u2421"
    if code < 0xA0 or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return f"[U+{code:04X}]"


_SHOWN = {
    code: _shown(code)
    for code in (
        *(code for code in range(0xA0) if chr(code) not in "\t\n" and not 0x20 <= code < 0x7F),
        *(0x061C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070)),
        *(0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xD800, 0xE000), *range(0xE0000, 0xE0080)),
    )
}


def safe_text(text: str) -> str:
    """Text of many lines that can be written to a terminal.

    Line ends become LF. Control characters become their pictures (U+2400…), so an escape
    sequence is read instead of obeyed; bidirectional controls and other invisible format
    characters become `[U+202E]`, because with them text can look like its opposite. Joiners
    (U+200C, U+200D) stay: Persian, Hindi and emoji need them.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.translate(_SHOWN) if _UNSEEN.search(text) else text


def safe_line(text: str, most: int = LINE) -> str:
    """The same for one line of at most `most` characters; line ends and tabs become blanks."""
    # Twice as much is looked at as is shown: nothing grows, and blanks may be stripped.
    text = text[: 2 * most].strip()
    if not text.isprintable():
        text = _SPACES.sub(" ", text).strip().translate(_SHOWN)
    return text if len(text) <= most else text[: most - 1] + "…"


def guess(data: bytes) -> str:
    """Bytes that don't say what they are: UTF-8 if they are that, else Windows' Latin."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def codec(charset: str) -> str | None:
    """Python's name for a charset of mail, or None for one that is not believed.

    Only listed names are looked up: Python imports a module for any name, remembers each
    name it did not find for ever, and has "charsets" that take quadratic time (punycode).
    """
    name = charset[:_NAME].strip().strip("\"'").lower().replace("_", "-")
    return _CHARSETS.get(name)


def decode(data: bytes, charset: str) -> tuple[str, str]:
    """Bytes that say what they are, as text, and what was odd about it ("" for nothing)."""
    name = codec(charset)
    if name is None:
        known = charset[:_NAME].strip().lower() in _GUESSED
        return guess(data), "" if known else f"unknown charset {safe_line(charset, _NAME)!r}"
    try:
        return data.decode(name), ""
    except UnicodeDecodeError:
        return data.decode(name, "replace"), f"not all of it is {safe_line(charset, _NAME)}"
