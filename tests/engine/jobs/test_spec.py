"""Proves that a job comes back from its file as it went in, columns chosen by hand included."""

import json

import pytest

from engine.datasets.columns import Choices
from engine.jobs.spec import IngestFiles, IngestFolder, from_json, to_json
from engine.models.base import ModelChoice

COLUMNS = Choices(
    file="bild", captions=("satz",), labels=(), left_out=("a", "b"), split="art", folder_labels=False
)


@pytest.mark.parametrize("columns", [None, Choices(), COLUMNS])
def test_the_columns_chosen_come_back_with_the_job(columns):
    head = {"id": "1-a", "title": "t", "collection": "c", "choice": ModelChoice("x"), "columns": columns}
    for spec in (IngestFiles(files=(("a.jpg", "000000"),), **head), IngestFolder(folder="/in", **head)):
        assert from_json(to_json(spec)) == spec


def test_a_job_of_a_version_without_columns_is_read():
    spec = IngestFiles(id="1-a", title="t", collection="c", files=(("a.jpg", "000000"),))
    before = {name: value for name, value in json.loads(to_json(spec)).items() if name != "columns"}
    assert from_json(json.dumps(before)) == spec
