"""The terms of the field in a sentence each, and text whose terms tell their meaning on hover or focus."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

TERMS = {
    "embedding": "A list of numbers that a model makes of an item, here of length 1: a point on a sphere. "
    "Items that the model finds alike lie close together.",
    "modality gap": "Embeddings of one modality lie together, apart from those of another, even where they "
    "show the same things.",
    "gap": "Here the modality gap: embeddings of one modality lie together, apart from those of another.",
    "modality": "A kind of item: text, picture, sound or video.",
    "cosine": "How alike two unit vectors are: 1 for the same direction, 0 for none in common, -1 for "
    "opposite ones. Not comparable from one model to another.",
    "centroid": "The middle of a cloud: the mean of all vectors of a modality.",
    "cone": "Vectors of a modality that all point roughly one way: their mean cosine is well above 0.",
    "L2M": "The distance between the middles of two clouds, 0 to 2. 0 says that the middles are one, "
    "not that the modalities are mixed.",
    "RMG": "Relative modality gap: the distance of pairs compared with that of items of one modality. 0: "
    "both of a pair are at one place; 0.5: as far apart as two items of one modality drawn at random; "
    "towards 1: farther.",
    "recall": "Recall@k, any-hit: the share of questions that find what belongs to them in the first k.",
    "R@1": "Recall at 1: the share of questions whose first hit is what belongs to them.",
    "MRR": "Mean reciprocal rank: the mean of 1 / rank of the first right hit.",
    "InfoNCE": "The loss of CLIP: each picture must pick its own caption out of all, and each caption its "
    "picture.",
    "R@10": "The share of questions that find what belongs to them among the first ten.",
    "nDCG@10": "How high what belongs to a question stands among the first ten: 1 first, 0 not there.",
    "loss": "What a training makes small; here how badly pictures and captions pick each other.",
    "held-out": "Not used in training or fitting, so that what was learned by heart does not count.",
    "towers": "Two small networks, one for pictures and one for texts, that end in the same space.",
    "heads": "The last layers of the towers, here one matrix each: all that is trained.",
    "temperature": "What cosines are divided by before the loss turns them into shares (softmax). Low: small "
    "differences count a lot. Dividing finished scores by it changes no rank; training "
    "with it makes another model.",
    "hub": "An item that is among the nearest of far more questions than its share.",
    "V-measure": "How well clusters agree with labels, 0 to 1: at 1 a cluster has one label, and a label "
    "one cluster.",
    "hub skew": "How unequally items are found: about 0 where all are found as often, high where a few hubs "
    "are found by very many questions.",
    "separability": "How well a linear classifier tells the modality from the vector alone, on items it has "
    "not seen; 0.5 is guessing.",
    "purity": "The share of an item's nearest neighbours that are of its own modality.",
    "PCA": "Principal component analysis: a flat view along the directions in which vectors differ most. "
    "Distances are true or too short, never too long.",
    "UMAP": "A map that keeps neighbours together. Distances and sizes of its islands mean little.",
    "calibration": "Means and spreads are taken from one part of the items and used on the other, so that "
    "nothing is measured on what it was fitted on.",
    "reranker": "A model that reads a question and an item together and gives the two a score. It has no "
    "shared space, hence no gap, and costs one run for each pair.",
    "pair": "Two items that belong together, such as a picture and its caption.",
    "hit@k": "The share of questions with a right answer among the first k.",
    "recall@k": "The share of all right answers that are among the first k.",
    "bootstrap": "Measuring again on questions drawn with replacement, many times: how far the number "
    "hangs on which questions were asked.",
    "Kendall's tau": "How far two orders agree: 1 for the same, 0 for nothing in common, -1 for the reverse.",
    "trustworthiness": "1 where what lies close together on a map is close in the vectors too; it falls with "
    "every false neighbour.",
    "continuity": "1 where what is close in the vectors lies close together on the map too; it falls where "
    "neighbours are torn apart.",
    "crowding": "Items of the question's own modality take the first places, because their cosines are on a "
    "higher scale.",
    "int8": "A byte for each number of a vector in place of four: a quarter of the space.",
    "Hamming": "In how many bits two items differ: few for near ones.",
    "Matryoshka": "A training that puts what matters most into the first numbers of a vector, so that it can "
    "be cut (Kusupati et al. 2022).",
    "null": "What the number would be by chance alone.",
    "seed": "The number that random draws start from: the same seed, the same result.",
}
# The browser's own note is for a pointer that rests; who clicks, touches or comes by keyboard reads it below.
STYLE = """
abbr[title] {text-decoration: underline dotted; text-underline-offset: .18em; cursor: help;}
abbr[title]:focus::after {content: attr(title); position: fixed; left: 1rem; right: 1rem; bottom: 1rem;
  z-index: 1000000; max-width: 40rem; margin: 0 auto; padding: .7rem .9rem; border-radius: .5rem;
  background: #22282b; color: #fff; font-size: .95rem; font-weight: 400; line-height: 1.45;}
.gs-said {margin: 0; font-size: .875rem; line-height: 1.5; overflow-wrap: anywhere;
  color: color-mix(in srgb, currentColor 65%, transparent);}
"""
_FORMS = {term: rf"{re.escape(term)}s?" for term in TERMS}
_ANY = re.compile(rf"\b(?:{'|'.join(_FORMS[term] for term in sorted(TERMS, key=len, reverse=True))})\b", re.I)
_BY_LOWER = {term.lower(): term for term in TERMS}


def caption(text: str) -> None:
    """Draw text as a caption whose terms tell their meaning."""
    st.html(f'<p class="gs-said">{explained(text)}</p>')


def explained(text: str) -> str:
    """Return text as HTML in which the first mention of each term of TERMS tells its meaning on hover."""
    seen: set[str] = set()

    def marked(found: re.Match[str]) -> str:
        term = _BY_LOWER.get(found[0].lower()) or _BY_LOWER[found[0].lower().removesuffix("s")]
        if term in seen:
            return found[0]
        seen.add(term)
        return f'<abbr title="{escape(TERMS[term])}" tabindex="0">{found[0]}</abbr>'

    return _ANY.sub(marked, escape(text, quote=False))
