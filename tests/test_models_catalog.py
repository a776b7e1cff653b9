"""Proves that the catalog's promises are those of the models, and that an unknown id lists the known ones."""

import dataclasses
import importlib.util

import pytest

from engine.errors import UnknownModelError
from engine.models.catalog import CATALOG, DEFAULT_MODEL, POCKET, get_spec, load_embedder, why_not
from engine.models.pocket.recipe import RECIPE
from engine.settings import load_settings
from engine.types import MODALITIES


@pytest.mark.parametrize("spec", CATALOG.values(), ids=CATALOG)
def test_every_entry_is_complete(spec):
    assert CATALOG[spec.id] is spec
    assert set(spec.modalities) <= set(MODALITIES)
    assert spec.modalities
    assert spec.dim > 0
    assert spec.parameters > 0
    assert spec.memory_gb > 0
    assert spec.licence
    assert spec.note
    assert (spec.provenance.model, spec.provenance.revision, spec.provenance.dim) == (
        spec.id,
        spec.revision,
        spec.dim,
    )


def test_the_default_is_in_the_catalog_and_runs_here():
    assert get_spec(DEFAULT_MODEL) is POCKET
    assert why_not(POCKET) is None


@pytest.mark.parametrize("model", ["", "nothing", "POCKET"])
def test_an_unknown_model_lists_the_known(model, tmp_path):
    for use in (get_spec, lambda name: load_embedder(name, load_settings(data_dir=tmp_path))):
        with pytest.raises(UnknownModelError, match="Known models: pocket"):
            use(model)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_the_reason_why_not(monkeypatch):
    real = importlib.util.find_spec
    missing = RECIPE.packages[1]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    assert why_not(POCKET) == f"not installed: {missing}"


def test_another_revision_is_another_provenance():
    assert dataclasses.replace(POCKET, revision="2").provenance != POCKET.provenance


def test_the_loaded_model_is_what_the_catalog_says(pocket):
    assert pocket.spec is POCKET
    assert pocket.image_side_px > 0
    assert pocket.encode_query("text", ["a cat"]).shape == (1, POCKET.dim)
