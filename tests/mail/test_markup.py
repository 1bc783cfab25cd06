from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.mail import markup


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("plain", "plain"),
        ("<p>a</p>\n<p>b <b>c</b></p>", "a\n\nb c"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<tr><td>a</td><td>b</td></tr>", "a b"),
        ("a &lt;b&gt; &amp; &#228; &nbsp; &unknown;", "a <b> & ä &unknown;"),
        ("&#99999999999;&#" + "9" * 5000 + ";", "\ufffd;\ufffd;"),
        ('<a href="https://x.example/">here</a>', "here <https://x.example/>"),
        ("<a href='https://x.example/'>https://x.example/</a>", "https://x.example/"),
        ('<a href="https://evil/">https://bank/</a>', "https://bank/ <https://evil/>"),
        ("""<a title='href="http://good"' href=http://evil>x</a>""", "x <http://evil>"),
        ('<a href="a" href="b">x</a>', "x <a>"),
        ('<a href="mailto:a@b">a@b</a> <a name=x>y</a> <a href="#z">z</a>', "a@b y z"),
        ('<a href="one">a<a href="two">b', "a <one>b <two>"),
        ('<img src="http://track/" alt="a cat"><img src=x>', "[a cat]"),
        ("a<script>alert('<b>')</script>b<style>p{}</STYLE>c", "abc"),
        ("a<script>never ends", "a"),
        ("<title>t</title>a<!-- <b> -->b<!doctype html>c<?x y>d", "abcd"),
        ("a<!-- never ends", "a"),
        ("a<b never ends", "a"),
        ("1 < 2 <3 <", "1 < 2 <3 <"),
        ('<p title="a > b">c', "c"),
        ('<p title=">c<p>d', "c\nd"),
        ("<br>" * 20 + "a" + "<br>" * 20 + "b", "a\n\nb"),
    ],
)
def test_text(source: str, words: str) -> None:
    assert markup.text(source) == words


PIECES = ["<", "<!--", "<a", "<a>", '<a ">', "<a \">'", "&", "&a", "&#9", "</", "<script>", "<?"]
PIECES += ["<a b= ", "<li>", "<br> ", '<a href="x">y', "<![CDATA[", "<a/", "=\"'>"]


@pytest.mark.parametrize("piece", PIECES)
def test_linear(piece: str) -> None:
    begun = process_time()
    markup.text(piece * (500_000 // len(piece)))
    assert process_time() - begun < 3


@given(st.text())
def test_takes_anything(source: str) -> None:
    markup.text(source)


@given(st.lists(st.sampled_from([*PIECES, "x", ">", " "])))
def test_takes_almost_markup(pieces: list[str]) -> None:
    assert "<script" not in markup.text("".join(pieces))
