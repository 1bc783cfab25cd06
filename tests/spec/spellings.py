"""Vectors of single values: encodings, text, names, origins, printed forms."""

from typing import Any

from node.encoding import cbor, cid, names
from tests.factories import ALICE, BOB
from tests.spec.good import Entry, shown

LINK = cid.of_object(b"\xa0")
ZERO = "00" * 32

VALUES: tuple[Any, ...] = (
    *(0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1),
    *(b"", b"\1", bytes(23), bytes(24), bytes(255), bytes(256)),
    *("", "a", "\u00fc", "\u6c34", "\U0001f600", "x" * 24),
    *([], [1, [2]], {}, {"b": 1, "a": 2, "aa": 3}, {"": 0, "z": {"y": []}}),
    *(False, True, None, LINK, cid.of_raw(b""), bytes(LINK)),
    [[[[[[]]]]]],
)

ENCODINGS_REFUSED = (
    ("", "nothing"),
    ("0000", "a byte after the value"),
    ("1817", "23 in two bytes"),
    ("1900ff", "255 in three bytes"),
    ("1a0000ffff", "65,535 in five bytes"),
    ("1b00000000ffffffff", "2^32 - 1 in nine bytes"),
    ("18", "a head cut short"),
    ("1b0020000000000000", "2^53"),
    ("1bffffffffffffffff", "2^64 - 1"),
    ("1c", "a reserved head"),
    ("1f", "a reserved head"),
    ("20", "-1"),
    ("3818", "-25"),
    ("41", "bytes cut short"),
    ("5800", "no bytes, length in two bytes"),
    ("580100", "one byte, length in two bytes"),
    ("5f4101ff", "bytes of indefinite length"),
    ("5bffffffffffffffff", "2^64 - 1 bytes"),
    ("61", "text cut short"),
    ("61ff", "not UTF-8"),
    ("62c080", "an overlong NUL"),
    ("63eda080", "a surrogate"),
    ("6375cc88", "u and diaeresis: not NFC"),
    ("63e284ab", "the Angstrom sign: not NFC"),
    ("64f09faba8", "U+1FAE8, assigned in Unicode 15"),
    ("62cdb8", "U+0378, not assigned"),
    ("63efbfbe", "U+FFFE, a noncharacter"),
    ("7f6161ff", "text of indefinite length"),
    ("8201", "an array cut short"),
    ("9800", "an empty array with a long head"),
    ("9f00ff", "an array of indefinite length"),
    ("9bffffffffffffffff", "an array of 2^64 - 1 items"),
    ("a16161", "a map cut short"),
    ("a10000", "a key that is a number"),
    ("a1416100", "a key that is bytes"),
    ("a2616100616100", "a key twice"),
    ("a2616200616100", "keys out of order"),
    ("a262616100616200", "the longer key first"),
    ("a178016100", "a key with a long head"),
    ("bf616100ff", "a map of indefinite length"),
    ("c000", "tag 0"),
    ("d9d9f700", "tag 55799"),
    ("d82a00", "a link to a number"),
    ("d9002a582500" + LINK.hex(), "tag 42 with a long head"),
    ("d82a5824" + LINK.hex(), "a link without the leading zero"),
    ("d82a582501" + LINK.hex(), "a link with another multibase prefix"),
    ("d82a582500" + "01701220" + ZERO, "a link with codec dag-pb"),
    ("d82a582500" + "01711320" + ZERO, "a link with another hash function"),
    ("d82a58230012" + "20" + ZERO, "a CIDv0"),
    ("d82a58260000" + LINK.hex(), "a link with a byte too many"),
    ("f7", "undefined"),
    ("e0", "simple value 0"),
    ("f820", "simple value 32"),
    ("f93c00", "a float of 2 bytes"),
    ("fa3f800000", "a float of 4 bytes"),
    ("fb3ff0000000000000", "a float of 8 bytes"),
    ("ff", "a break"),
    ("8181818181" + "8180", "7 levels of arrays"),
    ("a16161" * 6 + "a0", "7 levels of maps"),
    ("991001" + "00" * 4097, "4,097 values in one array"),
    ("82990800" + "00" * 2048 + "990800" + "00" * 2048, "4,098 values in two arrays and one"),
)

NAMES = (
    *("a", "alice", "O'Neill", "Carol\u00b7\u03a9", "\u6c34\u6728", "x" * 64, "\u00fc" * 32),
    *("name-2", "\U0001f600", "a.b_c", "\u200b"),
)
NAMES_REFUSED = (
    ("", "empty"),
    ("x" * 65, "65 bytes"),
    ("\u00fc" * 33, "66 bytes in 33 characters"),
    ("a b", "a blank"),
    ("a\u00a0b", "a no-break space"),
    ("a\u3000b", "an ideographic space"),
    ("a\u2028b", "a line separator"),
    ("a\tb", "a tab"),
    ("a\u0085b", "a next line"),
    ("a\0", "NUL"),
    ("a\u007f", "DEL"),
    ("a@b", "an at sign"),
    ("a,b", "a comma"),
    ("a/b", "a slash"),
    ("a\u202eb", "right-to-left override"),
    ("a\u200fb", "right-to-left mark"),
    ("a\u061cb", "Arabic letter mark"),
    ("a\u2066b", "left-to-right isolate"),
    ("u\u0308", "not NFC"),
    ("\U0001fae8", "assigned in Unicode 15"),
    ("\u0378", "not assigned"),
)

ORIGINS = (
    *("example:4625", "localhost:4625", "alice.example:443", "xn--bcher-kva.example:1"),
    *("127.0.0.1:65535", "192.0.2.7:4625", "[::1]:4625", "[2001:db8::1]:8443", "a-b.c9:80"),
    f"{'a' * 60}.{'b' * 26}.example:4625",
)
ORIGINS_REFUSED = (
    ("example", "no port"),
    ("example:", "an empty port"),
    ("example:0", "port 0"),
    ("example:04625", "a port with a leading zero"),
    ("example:65536", "port 65536"),
    (":4625", "no host"),
    ("Example:4625", "a capital"),
    ("b\u00fccher.example:4625", "not an A-label"),
    ("example.:4625", "a trailing dot"),
    ("a..b:4625", "an empty label"),
    ("-a.example:4625", "a label that begins with a hyphen"),
    ("a-.example:4625", "a label that ends with a hyphen"),
    ("a_b.example:4625", "an underscore"),
    (f"{'a' * 64}.example:4625", "a label of 64 bytes"),
    (f"{'a' * 60}.{'b' * 27}.example:4625", "101 bytes"),
    ("127.1:4625", "a short address"),
    ("127.0.0.01:4625", "a leading zero"),
    ("0x7f000001:4625", "a hexadecimal address"),
    ("2130706433:4625", "an address as one number"),
    ("1.2.3.256:4625", "no address"),
    ("::1:4625", "IPv6 without brackets"),
    ("[::0001]:4625", "not as RFC 5952 says"),
    ("[2001:DB8::1]:4625", "capitals in an address"),
    ("[::ffff:127.0.0.1]:4625", "an IPv4-mapped address"),
    ("[fe80::1%eth0]:4625", "a scope"),
    ("[127.0.0.1]:4625", "IPv4 in brackets"),
    ("http://example:4625", "a scheme"),
    ("user@example:4625", "a user"),
    ("example:4625/", "a path"),
)


def encodings() -> Entry:
    """Canonical DAG-CBOR, as narrowed."""
    return {
        "accepted": [
            {"value": shown(value), "bytes": cbor.encode(value).hex()} for value in VALUES
        ],
        "refused": [{"bytes": bytes_, "why": why} for bytes_, why in ENCODINGS_REFUSED],
    }


def _refused(rows: tuple[tuple[str, str], ...]) -> list[Entry]:
    return [{"text": text, "why": why} for text, why in rows]


def spellings() -> Entry:
    """Names, origins, CIDs, keys and base64url, as people and paths see them."""
    printed, z = cid.show(LINK), names.z(ALICE.key)
    return {
        "names": {"accepted": list(NAMES), "refused": _refused(NAMES_REFUSED)},
        "origins": {"accepted": list(ORIGINS), "refused": _refused(ORIGINS_REFUSED)},
        "cids": {
            "accepted": [
                {"text": cid.show(each), "bytes": each.hex()}
                for each in (LINK, cid.of_raw(b""), cid.of_raw(b"abc"))
            ],
            "refused": _refused(
                (
                    (printed.upper(), "capitals"),
                    (printed[:-1], "58 characters"),
                    (printed + "a", "60 characters"),
                    (printed[:-1] + "b", "spare bits set"),
                    ("z" + printed[1:], "another multibase letter"),
                    (printed[1:], "no multibase letter"),
                    ("Qm" + "a" * 44, "a CIDv0"),
                    ("bafybei" + "a" * 52, "codec dag-pb"),
                )
            ),
        },
        "dids": {
            "accepted": [{"text": who.did, "bytes": who.key.hex()} for who in (ALICE, BOB)],
            "refused": _refused(
                (
                    (z, "no did:key: before it"),
                    ("did:web:example", "another method"),
                    (ALICE.did + "#" + z, "a fragment"),
                    (ALICE.did[:-1], "a character too few"),
                    (ALICE.did + "1", "a character too many"),
                    (ALICE.did.replace("z6Mk", "z6LS"), "an X25519 key"),
                    (ALICE.did[:-1] + "0", "a character that base58 does not have"),
                    (ALICE.did.upper(), "capitals"),
                )
            ),
        },
        "base64url": {
            "accepted": [
                {"text": names.b64(each), "bytes": each.hex()}
                for each in (b"", b"\0", b"\xff\xfe", b"\xfb\xef\xff", bytes(range(16)))
            ],
            "refused": _refused(
                (
                    ("AA==", "padding"),
                    ("AB", "spare bits set"),
                    ("A", "one character"),
                    ("A A", "a blank"),
                    ("+/+/", "the letters of plain base64"),
                    ("AAA\n", "a line end"),
                )
            ),
        },
    }
