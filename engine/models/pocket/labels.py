"""The 1,000 ImageNet classes in words, from WordNet, as texts for the label anchors."""

from __future__ import annotations

from engine.models.pocket.recipe import RECIPE, package_file


def class_texts() -> list[list[list[str]]]:
    """Return for each of the 1,000 classes, in the classifier's order, the texts of each wording.

    A wording with {synonym} gives one text per synonym of the class, every other wording one text.
    Source: recipe.json, "anchors". Raises WeightsError where the package is missing.
    """
    anchors = RECIPE.anchors
    synsets = package_file(anchors, "synsets").read_text(encoding="utf-8").split()
    lemmas, definitions = _table("lemmas"), _table("definitions")
    return [
        [_worded(wording, lemmas[synset], definitions[synset]) for wording in anchors["wordings"]]
        for synset in synsets
    ]


def _worded(wording: str, lemma: str, definition: str) -> list[str]:
    synonyms = lemma.split(", ") if "{synonym}" in wording else [lemma]
    return [wording.format(synonym=one, lemma=lemma, definition=definition) for one in synonyms]


def _table(key: str) -> dict[str, str]:
    lines = package_file(RECIPE.anchors, key).read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines)
