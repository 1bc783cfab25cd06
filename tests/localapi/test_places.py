"""Domains and networks as they are typed, and as they are compared."""

import pytest
from publicsuffixlist import PublicSuffixList

from node.errors import Usage
from node.localapi import places

SUFFIXES = PublicSuffixList()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("example.org", "example.org"),
        (" Mail.Example.ORG. ", "example.org"),
        ("b\u00fccher.com", "xn--bcher-kva.com"),
        ("B\u00dcCHER.com", "xn--bcher-kva.com"),
        ("shop.b\u00fccher.co.uk", "xn--bcher-kva.co.uk"),
        ("xn--bcher-kva.com", "xn--bcher-kva.com"),
        ("stra\u00dfe.de", "xn--strae-oqa.de"),  # IDNA2008: another domain than strasse.de
        ("192.0.2.77", "192.0.2.0/24"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:DB8::1", "2001:db8::/48"),
        ("2001:db8::/48", "2001:db8::/48"),
        ("127.0.0.5", "127.0.0.5"),
    ],
)
def test_what_is_typed_becomes_what_is_compared(text: str, word: str) -> None:
    assert places.word(text, SUFFIXES.privatesuffix) == word


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("10.0.0.0/8", "/24"),
        ("192.0.2.77/32", "/24"),
        ("2001:db8::/32", "/48"),
        ("192.0.2.0/", "/24"),
        ("127.0.0.0/8", "/24"),
        ("a b.com", "no domain"),
        ("a_b.com", "no domain"),
        ("-a.com", "no domain"),
        ("https://spam.com/", "no domain"),
        ("example.org/24", "no domain"),
        ("1.2.3", "no domain"),
        ("com", "no domain"),
        ("co.uk", "no domain"),
        ("", "no domain"),
        ("b\u00fccher" * 50 + ".com", "no domain"),
        ("a." * 45 + "example.company", "no domain"),  # not cut to example.co
        ("\u0378.com", "no domain"),
    ],
)
def test_what_is_neither_is_refused(text: str, says: str) -> None:
    with pytest.raises(Usage) as refused:
        places.word(text, SUFFIXES.privatesuffix)
    assert says in refused.value.text
