"""Terms that tell their meaning: found as words, once each, and what a stranger wrote stays text."""

from __future__ import annotations

import re

import pytest

from pages.ui.glossary import TERMS, explained


@pytest.mark.parametrize("term", TERMS)
def test_a_term_tells_its_own_meaning_and_only_once(term):
    marked = explained(f"Here is {term}, and {term} again.")
    assert marked.count(f">{term}</abbr>") == 1
    assert re.sub(r"<[^>]+>", "", marked) == f"Here is {term}, and {term} again."


def test_a_longer_term_is_not_cut_into_shorter_ones():
    assert explained("recall@k").count("<abbr") == explained("modality gap").count("<abbr") == 1
    assert "<abbr" not in explained("gaping holes, Pairwise, umapped")


def test_what_a_stranger_wrote_stays_text():
    assert "<script" not in explained("<script>gap</script>") and "<b" not in explained("<b>cosine</b>")
