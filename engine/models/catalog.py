"""The table of models: id -> what it is; loads nothing, and asks neither the disk nor the hub.

Pocket is described here; every model of the hub is a row of catalog.toml, whose keys are the fields
of `ModelSpec`. The file is read once, when this module is imported.
"""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from engine.errors import UnknownModelError
from engine.models.base import Kind, ModelSpec, Runner
from engine.models.pocket.recipe import RECIPE
from engine.models.pocket.reranker.recipe import PROVENANCE as RERANKED_BY
from engine.types import MODALITIES

DEFAULT_MODEL, DEFAULT_RERANKER = "pocket", "pocket-reranker"
TOWERS = "towers:"  # in front of what somebody has called two heads that were trained and kept here
DEFAULT_ORGANISATION = "sentence-transformers"  # whose models need no organisation in front

POCKET = ModelSpec(
    id="pocket",
    kind="embedder",
    runner="pocket",
    revision=RECIPE.revision,
    modalities=("text", "image"),
    dim=384,
    parameters=22_713_216 + 6_092_072,  # MiniLM-L6 + EfficientNet-Lite2
    memory_gb=0.4,
    gpu_dtype="float32",
    licence="Apache-2.0",
    languages=("en",),
    note="Offline on a CPU. Knows a thousand kinds of things; not colours, counts or relations.",
)

POCKET_RERANKER = replace(
    POCKET,
    id=DEFAULT_RERANKER,
    kind="reranker",
    revision=RERANKED_BY.revision,
    dim=None,
    memory_gb=0.5,
    packages=("rapidocr",),
    note="Offline on a CPU. Looks again for regions, colours, counts on plain ground and written words.",
)

_HUB_PACKAGES = ("torch", "transformers", "sentence_transformers")
_FILE = Path(__file__).with_name("catalog.toml")
_FIELDS = {one.name: one for one in fields(ModelSpec)}
_TYPES = get_type_hints(ModelSpec)
_WORDS = {"kind": get_args(Kind), "runner": get_args(Runner)}  # fields that are one word out of a few
_LISTS = ("modalities", "dims", "packages", "languages")


def read_catalog(text: str) -> tuple[ModelSpec, ...]:
    """Parse the [[model]] tables of a catalog, order kept.

    Raises ValueError naming the row and the field: not TOML, an unknown or missing field, a value of
    the wrong type, an unknown modality, kind or runner, an id that occurs twice, an `images_by` that
    is no row.
    """
    document = tomllib.loads(text)
    if set(document) - {"model"}:
        raise ValueError(f"a catalog has [[model]] tables only, not {sorted(set(document) - {'model'})}")
    specs = tuple(_spec(row) for row in document.get("model", ()))
    ids = [POCKET.id, POCKET_RERANKER.id, *(spec.id for spec in specs)]
    for spec in specs:
        if ids.count(spec.id) > 1:
            raise ValueError(f"{spec.id} is in the catalog more than once")
        if spec.images_by is not None and spec.images_by not in ids:
            raise ValueError(f"{spec.id}: images_by names {spec.images_by}, which is not in the catalog")
    return specs


def _spec(row: Mapping[str, Any]) -> ModelSpec:
    """Make one row a spec. Raises ValueError where it does not fit `ModelSpec`."""
    name = row.get("id", "a row without id")
    if unknown := sorted(set(row) - set(_FIELDS)):
        raise ValueError(f"{name}: unknown fields {unknown}")
    if missing := [key for key, one in _FIELDS.items() if one.default is MISSING and key not in row]:
        raise ValueError(f"{name}: missing fields {missing}")
    return ModelSpec(**{key: _value(name, key, value) for key, value in row.items()})


def _value(name: str, key: str, value: Any) -> Any:
    """Return the value as `ModelSpec` wants it. Raises ValueError where it is of another type."""
    if key in _LISTS:
        return _tuple(name, key, value)
    if key in _WORDS:
        _check(name, key, value, value in _WORDS[key], f"one of {', '.join(_WORDS[key])}")
        return value
    wanted = get_args(_TYPES[key]) or (_TYPES[key],)  # int | None: (int, NoneType)
    if float in wanted:
        _check(name, key, value, type(value) in (int, float), "a number")
        return float(value)
    _check(name, key, value, type(value) in wanted, f"of type {wanted[0].__name__}")
    return value


def _tuple(name: str, key: str, value: Any) -> tuple[Any, ...]:
    """Return a list of TOML as a tuple. Raises ValueError where an item is not what the field holds."""
    item = int if key == "dims" else str
    _check(name, key, value, isinstance(value, list) and bool(value), "a list that is not empty")
    _check(name, key, value, all(type(one) is item for one in value), f"a list of {item.__name__}")
    _check(name, key, value, len(set(value)) == len(value), "a list without repetition")
    if key == "modalities":
        _check(name, key, value, set(value) <= set(MODALITIES), f"out of {', '.join(MODALITIES)}")
    return tuple(value)


def _check(name: str, key: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {key} is {value!r}, but must be {wanted}")


CATALOG: dict[str, ModelSpec] = {
    spec.id: spec for spec in (POCKET, POCKET_RERANKER, *read_catalog(_FILE.read_text(encoding="utf-8")))
}


def get_spec(model: str) -> ModelSpec:
    """Return the catalog entry; "clip-ViT-B-32" is "sentence-transformers/clip-ViT-B-32".

    Raises UnknownModelError with the known ids.
    """
    for known in (model, f"{DEFAULT_ORGANISATION}/{model}"):
        if known in CATALOG:
            return CATALOG[known]
    raise UnknownModelError(model, CATALOG)


def missing_packages(spec: ModelSpec) -> list[str]:
    """Return the import names of the packages that a model needs and that are not installed."""
    return missing_modules((*(_HUB_PACKAGES if spec.from_hub else RECIPE.packages), *spec.packages))


def missing_modules(names: Iterable[str]) -> list[str]:
    """Return those of these import names that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def towers_spec(model: str) -> ModelSpec:
    """Return what a kept pair of heads is, by its id alone; whether it is here, `models/towers/` tells."""
    return replace(
        POCKET,
        id=model,
        runner="towers",
        revision=None,
        dim=None,
        memory_gb=0.2,
        note="Two heads trained here on the pairs of one collection: for teaching, not for retrieval.",
    )


def describe(model: str) -> ModelSpec:
    """Return the catalog entry, or for any other id or local folder what can be said without reading it.

    An id of the hub has no modalities: the model itself tells them when it is loaded.
    """
    if model.startswith(TOWERS):
        return towers_spec(model)
    try:
        return get_spec(model)
    except UnknownModelError:
        return ModelSpec(
            id=_typed_id(model),
            kind="embedder",
            modalities=(),
            licence="see its page",
            note="Not in the catalog: what it embeds is read from the model itself.",
        )


def _typed_id(model: str) -> str:
    """Return a folder's full path, so that it is the same model wherever it is named from, or a hub id."""
    try:
        folder = Path(model).expanduser()
        return str(folder.resolve()) if model and folder.is_dir() else model
    except (OSError, ValueError, RuntimeError):  # a name that no path can have
        return model
