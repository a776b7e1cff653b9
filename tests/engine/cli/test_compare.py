"""`compare`: collections side by side and one kept smaller, as lines and as JSON, and what it refuses."""

from __future__ import annotations

import pytest

from tests.helpers.command_line import document, error_line


@pytest.fixture
def twice(data_dir, cli, tmp_path):
    """Return the data folder with the vectors of 'photos' in 'again' too."""
    file = tmp_path / "vectors.npz"
    assert cli(data_dir, "export", "--collection", "photos", "--out", file).returncode == 0
    assert cli(data_dir, "import", file, "--collection", "again", "--model-label", "mine").returncode == 0
    yield data_dir
    assert cli(data_dir, "delete", "--collection", "again", "--yes").returncode == 0


def test_the_same_vectors_under_two_names_differ_by_nothing(twice, cli):
    found = document(cli(twice, "compare", "photos", "again", "--widths", "photos", "--json"))
    compared = found["comparison"]
    assert compared["shared"] == 24 and [one["unshared"] for one in compared["chosen"]] == [0, 0]
    [pairs] = compared["pairs"]
    photos, again = pairs["measured"]
    assert pairs["n"] == 12
    for measure in ("l2m", "rmg"):
        assert again[measure] == pytest.approx(photos[measure], abs=1e-6)
    assert again["a_to_b"]["hits"] == photos["a_to_b"]["hits"]
    assert again["a_to_b"]["changes"]["1"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 12}
    assert [step["bytes_per_vector"] for step in found["widths"]["steps"]] == [
        1_536,
        1_024,
        512,
        256,
        384,
        48,
        432,
    ]

    said = cli(twice, "compare", "photos", "again").stdout
    assert f"L2M {photos['l2m']['mean']:.3f}" in said and "n = 12 of 12 shared pairs" in said
    assert "minus photos: R@1 0.000 [0.000, 0.000]" in said and "are not comparable" in said
    alone = cli(twice, "compare", "--widths", "photos").stdout
    assert "binary, rescored by int8: 432 bytes a vector" in alone and "n = 6 pairs" in alone


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ((), 2, "two or more collections"),
        (("photos",), 1, "1 collections cannot be compared"),
        (("photos", "gone"), 1, "no collection 'gone'"),
        (("--widths", "gone"), 1, "no collection 'gone'"),
    ],
)
def test_what_cannot_be_compared_is_said(data_dir, cli, given, code, says):
    done = cli(data_dir, "compare", *given)
    assert done.returncode == code
    assert says in (error_line(done) if code == 1 else " ".join(done.stderr.split()))
