"""Proves that a setting is taken, refused by key, value and wanted type, or named as unknown."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from engine.errors import SettingError
from engine.settings import PREFIX, PROJECT_DIR, Settings, load_settings


def test_defaults():
    settings = load_settings()
    assert settings.data_dir == PROJECT_DIR / ".gapscope"
    assert settings.chroma_url is None
    assert settings.max_image_pixels == 100_000_000
    assert settings.max_file_bytes == 200_000_000
    assert settings.threads == os.cpu_count()


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_a_description_and_a_default(field):
    assert Settings.model_fields[field].description
    assert not Settings.model_fields[field].is_required()


@pytest.mark.parametrize(
    ("key", "value", "field", "wanted"),
    [
        ("DATA_DIR", "/some/where", "data_dir", Path("/some/where")),
        ("CHROMA_URL", "http://127.0.0.1:8000", "chroma_url", "http://127.0.0.1:8000"),
        ("CHROMA_URL", "https://chroma.example/", "chroma_url", "https://chroma.example/"),
        ("INGEST_DIR", "/photos", "ingest_dir", Path("/photos")),
        ("MAX_IMAGE_MEGAPIXELS", "0.5", "max_image_pixels", 500_000),
        ("MAX_FILE_MB", "1.5", "max_file_bytes", 1_500_000),
        ("MIN_FREE_DISK_MB", "0", "min_free_disk_mb", 0),
        ("BATCH_FILES", "7", "batch_files", 7),
        ("STORE_BATCH_ROWS", "300", "store_batch_rows", 300),
        ("THREADS", "3", "threads", 3),
        ("WARM_UP", "false", "warm_up", False),
        ("THREADS", "", "threads", os.cpu_count()),
        ("DATA_DIR", "", "data_dir", PROJECT_DIR / ".gapscope"),
    ],
)
def test_a_setting_is_taken_from_the_environment(monkeypatch, key, value, field, wanted):
    monkeypatch.setenv(PREFIX + key, value)
    assert getattr(load_settings(), field) == wanted


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("THREADS", "many", "a whole number"),
        ("WARM_UP", "later", "true or false"),
        ("THREADS", "1.5", "a whole number"),
        ("THREADS", "0", "at least 1"),
        ("THREADS", "1000", "at most 256"),
        ("BATCH_FILES", "-1", "at least 1"),
        ("STORE_BATCH_ROWS", "5001", "at most 5000"),
        ("MAX_FILE_MB", "large", "a number"),
        ("MAX_FILE_MB", "0", "greater than 0"),
        ("MAX_IMAGE_MEGAPIXELS", "inf", "a finite number"),
        ("MAX_IMAGE_MEGAPIXELS", "nan", "number"),
        ("MIN_FREE_DISK_MB", "-5", "at least 0"),
        ("MIN_FREE_DISK_MB", "inf", "a finite number"),
        ("CHROMA_URL", "localhost:8000", "an address such as http://"),
        ("CHROMA_URL", "http://host/path", "an address such as http://"),
        ("DATA_DIR", "~nobody-of-this-name/x", "a folder"),
        ("INGEST_DIR", "~nobody-of-this-name/x", "a folder"),
    ],
)
def test_a_bad_value_is_named_with_key_value_and_what_is_wanted(monkeypatch, key, value, wanted):
    monkeypatch.setenv(PREFIX + key, value)
    with pytest.raises(SettingError) as caught:
        load_settings()
    assert caught.value.key == PREFIX + key
    assert str(caught.value.value) == value
    assert wanted in caught.value.wanted
    assert (
        str(caught.value) == f"The setting {PREFIX}{key} is {value!r}, but it must be {caught.value.wanted}."
    )


@pytest.mark.parametrize("key", ["GAPSCOPE_THREAD", "GAPSCOPE_", "GAPSCOPE_DATADIR", "gapscope_thread"])
def test_an_unknown_key_is_refused_with_the_known_ones(monkeypatch, key):
    monkeypatch.setenv(key, "1")
    with pytest.raises(SettingError, match=f"{key} is '1'") as caught:
        load_settings()
    for field in Settings.model_fields:
        assert PREFIX + field.upper() in caught.value.wanted


def test_overrides_win_over_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("GAPSCOPE_THREADS", "3")
    monkeypatch.setenv("GAPSCOPE_DATA_DIR", "/elsewhere")
    settings = load_settings(threads=5, data_dir=tmp_path)
    assert (settings.threads, settings.data_dir) == (5, tmp_path)


def test_a_misspelt_override_is_refused():
    with pytest.raises(SettingError, match="GAPSCOPE_THREAD is 5"):
        load_settings(thread=5)


def test_folders_are_absolute_and_home_is_known(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GAPSCOPE_INGEST_DIR", "~/photos")
    settings = load_settings(data_dir="here")
    assert settings.data_dir == tmp_path / "here"
    assert settings.ingest_dir == tmp_path / "photos"


def test_settings_do_not_change_after_loading():
    with pytest.raises(ValidationError):
        load_settings().threads = 3


def test_other_variables_are_none_of_our_business(monkeypatch):
    monkeypatch.setenv("GAPSCOPED", "1")
    monkeypatch.setenv("THREADS", "99")
    assert load_settings().threads == os.cpu_count()
