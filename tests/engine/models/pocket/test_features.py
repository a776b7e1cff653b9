"""Pocket's features are what its own towers read, before a classifier or a space is put on them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine.errors import ModalityError
from engine.models.pocket import image
from engine.models.pocket.convert import converted_folder, ensure_regions
from engine.models.pocket.features import PocketFeatures
from engine.models.pocket.reranker.regions import RegionNetwork
from tests.helpers.data import SAMPLES, sample_rows


@pytest.fixture(scope="module")
def features(models_dir) -> PocketFeatures:
    return PocketFeatures.load(models_dir, 2, lambda stage: None)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    names = [row["file_name"] for row in sample_rows()[:40:8]]
    return [image.prepare(Image.open(SAMPLES / name).convert("RGB")) for name in names]


def test_the_classifier_makes_of_them_what_the_picture_tower_says(features, pictures, models_dir):
    found = features.encode("image", pictures)
    assert found.shape == (5, 1280) and found.dtype == np.float32 and (found >= 0).all()
    regions = ensure_regions(models_dir, lambda stage: None)
    network = RegionNetwork(regions, np.eye(1000, dtype=np.float32), 1)
    wanted = image.ImageTower(converted_folder(models_dir), 1).probabilities(pictures)
    assert network.probabilities(network.logits(found)) == pytest.approx(wanted, abs=1e-5)


def test_texts_are_those_of_the_text_tower_and_order_is_kept(features, pocket, pictures):
    words = ["a red bird", "two green boats on a lake", "x"]
    found = features.encode("text", words)
    assert found == pytest.approx(pocket.encode_query("text", words), abs=1e-6)
    backwards = features.encode("image", pictures[::-1])[::-1]
    assert backwards == pytest.approx(features.encode("image", pictures), abs=1e-4)


def test_it_reads_texts_and_pictures_only(features):
    for call in (features.prepare, features.encode):
        with pytest.raises(ModalityError):
            call("audio", [b""])
