"""The report of a gap: one page with all numbers and figures that fetches nothing; or words."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

import pytest

from engine.errors import CollectionNotFoundError
from engine.evaluation.gap_sentences import sentences
from engine.progress import CancelledError, Watch
from engine.report.gap_page import to_html
from engine.report.gap_report import Pictured, gap_report
from tests.helpers.gapped import store

HOSTILE = '</script><script>alert(1)</script><img src=x onerror=alert(1)>"&'


class Page(HTMLParser):
    """The tags of a page with their attributes, and its words outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.words, self._within = [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._within = tag

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within not in ("script", "style"):
            self.words += data


@pytest.fixture
def report(workspace):
    store(workspace, 24)
    return gap_report(workspace.folder, "gapped", k=5, seed=3)


def test_the_page_has_the_sentences_every_number_and_both_figures(report):
    page = Page(to_html(report))
    [one] = report.gaps
    for line in sentences(one):
        assert line.strip() in page.words
    for value in (one.l2m, one.rmg, one.separability, one.purity, *one.intervals["l2m"]):
        assert f"{value:.4f}" in page.words
    for way in (one.of_pairs.a_to_b, one.of_pairs.b_to_a):
        assert f"{way.hits['1'].mean:.4f} ({way.hits['1'].low:.4f} to {way.hits['1'].high:.4f})" in page.words
    assert "n = 24 of 24 pairs, model imported: test, seed 3." in page.words
    assert "24 texts, 24 pictures" in page.words and "k 5, seed 3, temperature 0.01" in page.words
    assert "cannot be compared from one model to another" in page.words
    ids = [attributes.get("id") for tag, attributes in page.tags if tag == "div"]
    assert "cosines0" in ids and "cloud0" in ids


def test_the_page_fetches_nothing_and_is_the_same_again(report, workspace):
    text = to_html(report)
    page = Page(text)
    loading = [tag for tag, named in page.tags if {"src", "href", "data", "srcset"} & set(named)]
    assert loading == [] and not {tag for tag, _ in page.tags} & {"link", "iframe", "img", "object", "base"}
    [policy] = [named["content"] for _, named in page.tags if "http-equiv" in named]
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert not re.search(r"@import|url\(", re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1])
    again = gap_report(workspace.folder, "gapped", k=5, seed=3, measured=report.gaps)
    assert to_html(again) == text


def test_names_of_strangers_stay_text(report):
    notes = (HOSTILE,)
    hostile = replace(
        report,
        collection=HOSTILE,
        model=HOSTILE,
        revision=HOSTILE,
        training=HOSTILE,
        versions={"gapscope": "1", HOSTILE: HOSTILE},
        gaps=(replace(report.gaps[0], notes=notes),),
        pictured=(replace(report.pictured[0], notes=notes),),
    )
    clean, page = Page(to_html(report)), Page(to_html(hostile))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in clean.tags}
    assert page.words.count("alert(1)") >= 6 and unescape(HOSTILE) in page.words


def test_what_has_no_gap_or_hardly_one_is_said_in_words(workspace):
    store(workspace, 5, name="lonely", modalities=("image",))
    assert "holds pictures only, and one modality alone has no gap" in to_html(
        gap_report(workspace.folder, "lonely")
    )
    store(workspace, 3, name="three")
    few = gap_report(workspace.folder, "three")
    words = Page(to_html(few)).words
    assert "has 3 pairs of pictures and texts, and this needs 4" in words and "Not drawn" in words
    assert f"{few.gaps[0].l2m:.4f}" in words and "not measured" in words
    empty = replace(few, counts={"image": 0}, gaps=(), pictured=())
    assert "the collection is empty" in Page(to_html(empty)).words
    with pytest.raises(CollectionNotFoundError):
        gap_report(workspace.folder, "gone")


def test_a_report_tells_how_far_it_is_and_hears_a_cancel(workspace):
    store(workspace, 24)
    heard: list[float] = []
    found = gap_report(workspace.folder, "gapped", watch=Watch(heard.append))
    assert isinstance(found.pictured[0], Pictured) and found.written == datetime.now(UTC).date()
    assert heard == sorted(heard) and heard[-1] <= 1
    with pytest.raises(CancelledError):
        gap_report(workspace.folder, "gapped", watch=Watch(cancelled=lambda: True))
