"""Proves that names from strangers become one harmless line that still says what they said."""

import os
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.text import MAX_CHARS, clean_name, clean_text, csv_cell

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("/absolute/cat.jpg", "cat.jpg"),
        ("folder/", "folder"),
        ("C:\\Users\\me\\cat.jpg", "cat.jpg"),
        ("\\\\server\\share\\cat.jpg", "cat.jpg"),
        ("cat\x00.jpg", "cat.jpg"),
        ("cat\r\n\t.jpg", "cat .jpg"),
        ("\x1b[31mcat.jpg", "[31mcat.jpg"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\u2066b\u2069.png", "ab.png"),
        ("a\u2028b", "ab"),
        ("\ufeffcat.jpg", "cat.jpg"),
        (f"{FAMILY} picnic \U0001f98a.jpg", f"{FAMILY} picnic \U0001f98a.jpg"),
        ("❤️.png", "❤️.png"),
        ("<img onerror=alert(1)>.png", "<img onerror=alert(1)>.png"),
        ("شیر.jpg", "شیر.jpg"),
        ("می\u200cخواهم.jpg", "می\u200cخواهم.jpg"),
        ("日本.png", "日本.png"),
        ("  two  spaces .jpg ", "two spaces .jpg"),
        (".hidden", ".hidden"),
        ("a..b", "a..b"),
    ],
)
def test_a_name_is_cleaned_but_kept(given_name, shown):
    assert clean_name(given_name) == shown


@pytest.mark.parametrize(
    "nothing", ["", ".", "..", "../..", "...", "/", "///", "\x00", "\\", " ", "\u200d", "\ud800"]
)
def test_a_name_of_nothing_gets_one(nothing):
    assert clean_name(nothing) == "unnamed"


def test_a_long_name_keeps_its_beginning_and_its_ending():
    name = clean_name("a" * 300 + ".jpeg")
    assert len(name) == MAX_CHARS
    assert name.startswith("aaa")
    assert name.endswith("a.jpeg")
    assert "…" in name


def test_bytes_that_are_no_utf8_do_not_break_the_name():
    name = clean_name(os.fsdecode(b"caf\xe9\xff.jpg"))
    assert name.encode("utf-8") == b"caf.jpg"


@given(st.text(alphabet=st.characters(), max_size=400))
@example("/" * 300)
@example("\u200d" * 300)
def test_any_name_becomes_one_harmless_line(path):
    name = clean_name(path)
    assert 0 < len(name) <= MAX_CHARS
    assert "/" not in name
    assert "\\" not in name
    assert not {unicodedata.category(char) for char in name} & {"Cc", "Cs", "Zl", "Zp"}
    assert name not in (".", "..")
    assert name.strip()
    assert name.encode("utf-8")
    assert clean_name(name) == name


@given(st.text(alphabet=st.characters(), max_size=200))
def test_cleaning_text_twice_changes_nothing_more(text):
    assert clean_text(clean_text(text)) == clean_text(text)


def test_text_keeps_lines_and_loses_controls():
    assert clean_text(" one\ntwo\t\x00\x07three\u202e ") == "one\ntwo\tthree"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_no_cell_of_a_csv_is_a_formula(text):
    assert csv_cell(text) == f"'{text}"


def test_other_cells_stay_as_they_are():
    assert [csv_cell(one) for one in ("a-b", "", -1.5, None, "1=1")] == ["a-b", "", -1.5, None, "1=1"]
