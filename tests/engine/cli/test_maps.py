"""`project`: its files, and what it refuses."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow.parquet
import pytest

from tests.helpers.data import generated_photos
from tests.helpers.workspaces import make_settings

PCA = ("--method", "pca")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, models_dir, cli):
    """Return a data folder with 12 captioned pictures in 'some'."""
    folder = make_settings(tmp_path_factory.mktemp("data"), models_dir).data_dir
    photos = generated_photos(tmp_path_factory.mktemp("in"), 12)
    assert cli(folder, "ingest", photos, "--collection", "some").returncode == 0
    return folder


def test_a_map_goes_into_every_kind_of_file_and_is_the_same_in_all(data_dir, cli, tmp_path):
    for suffix in (".csv", ".parquet", ".npz"):
        done = cli(data_dir, "project", "--collection", "some", "--out", tmp_path / f"map{suffix}", *PCA)
        assert done.returncode == 0, done.stderr
        assert "24 items by pca ->" in done.stdout
    with (tmp_path / "map.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    table = pyarrow.parquet.read_table(tmp_path / "map.parquet").to_pydict()
    with np.load(tmp_path / "map.npz") as arrays:
        assert list(rows[0]) == list(table) == list(arrays) == ["id", "modality", "x", "y", "placed"]
        assert arrays["x"].tolist() == table["x"] == [float(row["x"]) for row in rows]
        assert arrays["id"].tolist() == table["id"] == [row["id"] for row in rows]


def test_few_items_are_told_to_be_shown_by_pca(data_dir, cli, tmp_path, models_dir):
    folder = make_settings(tmp_path / "few", models_dir).data_dir
    cli(folder, "ingest", generated_photos(tmp_path / "in", 2), "--collection", "few")
    done = cli(folder, "project", "--collection", "few", "--out", tmp_path / "map.csv", "--dims", 3)
    assert "4 items by pca" in done.stdout and "PCA in place of UMAP" in done.stdout
    assert "x,y,z" in (tmp_path / "map.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("project", "--collection", "nothing", "--out", "x.csv"), 1, "CollectionNotFoundError"),
        (("project", "--collection", "some", "--out", "/no/such/x.csv", *PCA), 1, "cannot be written"),
        (("project", "--collection", "some", "--out", "x.xlsx"), 2, ".parquet"),
        (("project", "--collection", "some", "--out", "x.csv", "--method", "tsne"), 2, "umap or pca"),
        (("project", "--collection", "some", "--out", "x.csv", "--dims", "4"), 2, "2 or 3"),
        (("project", "--collection", "some", "--out", "x.csv", "--fit-on", "video"), 1, "no video to fit"),
    ],
)
def test_what_cannot_be_is_refused(data_dir, cli, arguments, status, says):
    done = cli(data_dir, *arguments)
    assert done.returncode == status and says in done.stderr and "Traceback" not in done.stderr
