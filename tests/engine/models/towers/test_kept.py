"""Kept heads come back as they were written, beside others of their name; what is gone or torn is named."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from engine.errors import WeightsError
from engine.models.base import ModelChoice
from engine.models.load import Loader
from engine.models.towers.kept import Heads, TrainedOn, find, keep, read
from tests.helpers.workspaces import make_settings

ON = TrainedOn("samples", 150, 0.01, "cone", 0.0, 300, 0, "pocket of another day")


def heads(seed: int = 0) -> Heads:
    chance = np.random.default_rng(seed)
    shapes = {"image_weights": (1280, 8), "image_bias": (8,), "text_weights": (384, 8), "text_bias": (8,)}
    return Heads(ON, **{name: chance.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


def test_heads_come_back_as_they_were_kept(tmp_path):
    given = heads()
    revision = keep(tmp_path, "mine", given)
    found = read(tmp_path, "towers:mine", revision)
    assert found.trained_on == ON and found.dim == 8
    assert all((found.arrays()[name] == array).all() for name, array in given.arrays().items())
    made_by = found.provenance("towers:mine")
    assert (made_by.model, made_by.revision, made_by.dim) == ("towers:mine", revision, 8)
    for said in ("150 pairs of 'samples'", "temperature 0.01", "seed 0", "300 steps", "cone features of"):
        assert said in made_by.training


def test_a_revision_is_of_the_numbers_and_of_what_they_were_trained_on():
    one = heads()
    assert one.revision == heads().revision
    assert one.revision != heads(1).revision != replace(one, trained_on=replace(ON, seed=1)).revision
    assert one.revision != replace(one, trained_on=replace(ON, seed=1)).revision


def test_another_training_under_one_name_lies_beside_the_first(tmp_path):
    first, second = keep(tmp_path, "mine", heads()), keep(tmp_path, "mine", heads(1))
    for age, revision in enumerate((second, first)):  # the second is the newest
        os.utime(tmp_path / "towers" / "mine" / f"{revision}.npz", (1000 - age, 1000 - age))
    assert find(tmp_path, "towers:mine", None) == second
    assert find(tmp_path, "towers:mine", first) == first
    assert read(tmp_path, "towers:mine", first).revision == first


@pytest.mark.parametrize("model", ["towers:gone", "towers:../models", "towers:", "towers:a/b"])
def test_what_is_not_here_is_named(tmp_path, model):
    with pytest.raises(WeightsError) as caught:
        find(tmp_path, model, None)
    assert model in str(caught.value)


def test_damage_is_named(tmp_path):
    revision = keep(tmp_path, "mine", heads())
    path = tmp_path / "towers" / "mine" / f"{revision}.npz"
    for damaged in (b"", path.read_bytes()[:5000], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError) as caught:
            read(tmp_path, "towers:mine", revision)
        assert "are damaged" in str(caught.value)
    other = keep(tmp_path, "mine", heads(1))
    path.write_bytes(path.with_name(f"{other}.npz").read_bytes())  # whole, but another's
    with pytest.raises(WeightsError):
        read(tmp_path, "towers:mine", revision)


def test_heads_on_features_of_another_pocket_are_refused(tmp_path, models_dir):
    settings = make_settings(tmp_path, models_dir)
    keep(tmp_path, "mine", heads())
    loader = Loader(settings)
    choice = loader.resolve(ModelChoice("towers:mine"))
    assert (choice.revision, choice.dtype) == (heads().revision, "float32")
    assert loader.device_of(choice).name == "cpu" and loader.needs(choice, loader.device_of(choice))
    with pytest.raises(WeightsError) as caught:
        loader.load(choice, loader.device_of(choice), lambda stage: None)
    assert "was trained on features of pocket of another day" in str(caught.value)
