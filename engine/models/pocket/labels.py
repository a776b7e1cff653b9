"""The 1,000 ImageNet classes in words, from WordNet, as texts for the label anchors."""

from __future__ import annotations

from engine.models.pocket.recipe import RECIPE, package_file


def class_texts() -> list[list[str]]:
    """Return for each of the 1,000 classes, in the classifier's order, one text per template.

    Source: recipe.json, "anchors". Raises WeightsError where the package is missing.
    """
    anchors = RECIPE.anchors
    synsets = package_file(anchors, "synsets").read_text(encoding="utf-8").split()
    lemmas, definitions = _table("lemmas"), _table("definitions")
    return [
        [
            template.format(lemma=lemmas[synset], definition=definitions[synset])
            for template in anchors["templates"]
        ]
        for synset in synsets
    ]


def _table(key: str) -> dict[str, str]:
    lines = package_file(RECIPE.anchors, key).read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines)
