"""What of a model is on this machine: finds its files without any network and tells whether all are there."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ModelOptionError, NotDownloadedError, UnknownModelError, WeightsError

if TYPE_CHECKING:
    from engine.models.base import Kind

_SAFETENSORS, _PICKLED = "model.safetensors", "pytorch_model.bin"
# In the order in which transformers looks for them; an index names the shards that hold the weights.
_WEIGHTS = (
    _SAFETENSORS,
    f"{_SAFETENSORS}.index.json",
    _PICKLED,
    f"{_PICKLED}.index.json",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
# Module classes of sentence-transformers that are useless without weights; Pooling, Normalize, BoW,
# LogitScore and the like have none.
_WEIGHED = {
    *("Transformer", "MLMTransformer", "CLIPModel", "Dense", "CNN", "LSTM", "LayerNorm"),
    *("StaticEmbedding", "SparseStaticEmbedding", "SparseAutoEncoder"),
    *("WordEmbeddings", "WordWeights", "WeightedLayerPooling"),
}
_OF_TRANSFORMERS = {"Transformer", "MLMTransformer", "CLIPModel"}
_CONFIGS = ("config.json", "adapter_config.json")
_DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"},
}
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_SAMPLE_BYTES = 1 << 20  # of each end of a file, for a folder's revision
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Checkpoint:
    """A model whose files are all on this machine.

    `id` is the hub id, or the absolute path of a local folder; `revision` the commit of the hub (40
    hexadecimal digits), or "local-" and 16 hexadecimal digits that change when the folder's files do.
    """

    id: str
    folder: Path
    revision: str


class DamagedFileError(WeightsError):
    """One file of a model that is not what it should be; `how` says it in words."""

    def __init__(self, path: Path, how: str) -> None:
        self.path, self.how = path, how
        super().__init__(f"{path} is {how}. Download or copy the model again.")


@dataclass(frozen=True)
class _Module:
    """A module of a model as modules.json lists it: its folder, and its class with the package."""

    folder: Path
    type: str

    @property
    def name(self) -> str:
        return self.type.rpartition(".")[2]


def find(
    model: str,
    revision: str | None = None,
    local: Callable[[], Iterable[str]] | None = None,
    cache_dir: Path | None = None,
) -> Checkpoint:
    """Return the complete files of a hub id or a local folder; never uses the network.

    `revision` is a branch, a tag, refs/pr/N or a commit (None: main); `local` returns the models to
    name in an error; `cache_dir` is the Hugging Face cache (None: the person's own, as HF_HUB_CACHE
    and HF_HOME say). Raises NotDownloadedError, UnknownModelError for what can be neither a folder
    nor a hub id, WeightsError for a folder that is no model, is incomplete or has changed since the
    revision asked for, ModelOptionError for any other revision of a folder.
    """
    known = local or (lambda: models_here(cache_dir))
    if _is_dir(model):
        return _in_folder(Path(model).expanduser().absolute(), revision)
    id_ = hub_id(model, known)
    folder = _snapshot(id_, revision, cache_dir)
    if folder is None:
        raise NotDownloadedError(id_, known(), revision=revision)
    lacking = missing_files(folder) or [one for one in companions(folder) if not is_here(one, cache_dir)]
    if lacking:
        raise NotDownloadedError(id_, known(), missing=", ".join(lacking), revision=revision)
    return Checkpoint(id_, folder, folder.name)


def hub_id(model: str, local: Callable[[], Iterable[str]] | None = None) -> str:
    """Return the full id of a hub model: "clip-ViT-B-32" is "sentence-transformers/clip-ViT-B-32".

    Raises UnknownModelError where the hub cannot have such an id; WeightsError for the path of a file.
    """
    from engine.models.catalog import DEFAULT_ORGANISATION  # here, so that the child starts quickly

    full = model.strip() if "/" in model else f"{DEFAULT_ORGANISATION}/{model.strip()}"
    if _is_file(model):
        raise WeightsError(f"{model} is a file. Give the folder that holds config.json.")
    if _may_be_an_id(full):
        return full
    error = UnknownModelError(model, (local or models_here)())
    error.args = (f"{error} It is neither a folder here nor an id such as organisation/name.",)
    raise error


def models_here(cache_dir: Path | None = None) -> list[str]:
    """Return what can be used without the hub, for an error to name: Pocket, and the complete models."""
    return ["pocket", *local_models(cache_dir)]


def local_models(cache_dir: Path | None = None) -> list[str]:
    """Return the ids of the complete models in the Hugging Face cache, sorted; any revision counts."""
    folders = _cache(cache_dir).glob("models--*")
    ids = {folder: folder.name.removeprefix("models--").replace("--", "/") for folder in folders}
    return sorted(id_ for one, id_ in ids.items() if any(map(_is_whole, _subfolders(one / "snapshots"))))


def repo_folder(id_: str, cache_dir: Path | None = None) -> Path:
    """Return where the Hugging Face cache keeps a model: its blobs, refs and snapshots."""
    return _cache(cache_dir) / "--".join(["models", *id_.split("/")])


def is_here(id_: str, cache_dir: Path | None = None) -> bool:
    """Tell whether some snapshot of a companion is here: whole, or code without any weights."""
    snapshots = _subfolders(repo_folder(id_, cache_dir) / "snapshots")
    return any(_is_whole(one) or any(one.glob("*.py")) for one in snapshots)


def _cache(cache_dir: Path | None) -> Path:
    from huggingface_hub import constants

    return cache_dir or Path(constants.HF_HUB_CACHE)


def _snapshot(id_: str, revision: str | None, cache_dir: Path | None) -> Path | None:
    """Return the folder of a revision, or None where nothing of it is here."""
    from huggingface_hub import constants

    repo, wanted = repo_folder(id_, cache_dir), revision or constants.DEFAULT_REVISION
    if not _COMMIT.fullmatch(wanted):
        ref = repo / "refs" / wanted
        if ".." in ref.parts or not ref.is_relative_to(repo) or not _is_file(str(ref)):
            return None
        wanted = ref.read_text("utf-8", "replace").strip()
    folder = repo / "snapshots" / wanted
    return folder if _COMMIT.fullmatch(wanted) and _is_dir(str(folder)) else None


def _in_folder(folder: Path, revision: str | None) -> Checkpoint:
    """Return a local folder as a checkpoint. Raises as `find` does."""
    if not any((folder / name).is_file() for name in ("modules.json", *_CONFIGS)):
        raise WeightsError(
            f"{folder} is not a model: it has neither config.json nor modules.json. Give the folder that has."
        )
    if lacking := missing_files(folder):
        raise WeightsError(
            f"The model in {folder} is incomplete; missing: {', '.join(lacking)}. Copy the folder again "
            f"from where it came (after `git lfs pull`, if that is a Git repository)."
        )
    found = _folder_revision(folder)
    if revision not in (None, found):
        if not revision.startswith("local-"):
            raise ModelOptionError(str(folder), "revision", revision, "none, because it is a local folder")
        raise WeightsError(
            f"The files in {folder} are not those asked for any more: their revision is {found}, not "
            f"{revision}. Put the former files back, or choose the folder as a new model."
        )
    return Checkpoint(str(folder), folder, found)


def _folder_revision(folder: Path) -> str:
    """Hash names, sizes and both ends of the files: as good as all of it where 16 GB are too slow to read."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        unseen = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if unseen or not path.is_file():
            continue
        try:
            with path.open("rb") as stream:
                size = path.stat().st_size
                digest.update(f"{name.as_posix()}\0{size}\0".encode())
                digest.update(stream.read(_SAMPLE_BYTES))
                stream.seek(max(_SAMPLE_BYTES, size - _SAMPLE_BYTES))
                digest.update(stream.read(_SAMPLE_BYTES))
        except OSError as error:
            raise WeightsError(
                f"{path} cannot be read: {error.strerror}. Allow it, then try again."
            ) from error
    return f"local-{digest.hexdigest()[:16]}"


def missing_files(folder: Path) -> list[str]:
    """Return in words what a model's folder lacks, with names relative to it; empty where it is complete.

    Reads the JSON files and the headers of the weights, never the weights. Raises nothing.
    """
    try:
        lacking = [fault for module in _modules(folder) for fault in _module_faults(folder, module)]
    except DamagedFileError as error:
        lacking = [f"{_named(error.path, folder)} ({error.how})"]
    except OSError as error:
        lacking = [f"the right to read it ({error.strerror})"]
    return list(dict.fromkeys(lacking))


def companions(folder: Path) -> list[str]:
    """Return the ids of other repositories that a model needs: an adapter's base, and code of others."""
    needed: list[str] = []
    for module in _modules(folder):
        needed.append(str(_read(module.folder / "adapter_config.json").get("base_model_name_or_path")))
        code = json.dumps(_read(module.folder / "config.json").get("auto_map"))
        needed += re.findall(r'"([^"]+?)--', code)  # "organisation/name--file.Class"
    return list(dict.fromkeys(one for one in needed if "/" in one and _may_be_an_id(one)))


def check_weights(path: Path) -> None:
    """Compare a weight file with what its own header promises, without reading it.

    Raises DamagedFileError: missing, empty, cut short, a Git LFS pointer, or of another format.
    """
    if not path.is_file():
        raise DamagedFileError(path, "missing")
    if path.stat().st_size == 0:
        raise DamagedFileError(path, "empty")
    if path.suffix == ".safetensors":
        _header(path)
        return
    with path.open("rb") as stream:
        start = stream.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise DamagedFileError(path, "a Git LFS pointer, not the weights")
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):  # what torch.save writes since 1.6
        raise DamagedFileError(path, "cut short")


def _module_faults(folder: Path, module: _Module) -> Iterator[str]:
    if module.name in _OF_TRANSFORMERS and not any(_read(module.folder / name) for name in _CONFIGS):
        yield _named(module.folder / "config.json", folder)
    weights = _weights(module.folder)
    if not weights and module.name in _WEIGHED:
        yield _named(module.folder / _SAFETENSORS, folder)
    for path in weights:
        try:
            check_weights(path)
        except DamagedFileError as error:
            yield _named(path, folder) + (f" ({error.how})" if error.how != "missing" else "")


def _modules(folder: Path) -> list[_Module]:
    """Return the modules of a model, those inside a Router included; a bare checkpoint is one Transformer.

    Raises DamagedFileError.
    """
    path = folder / "modules.json"
    if not path.is_file():
        return [_Module(folder, "sentence_transformers.Transformer")]
    try:
        listed = [_Module(folder / one["path"], str(one["type"])) for one in _read(path, list)]
    except (KeyError, TypeError) as error:
        raise DamagedFileError(path, "not a list of modules") from error
    return [inner for one in listed for inner in (one, *_routed(one))]


def _routed(module: _Module) -> list[_Module]:
    path = module.folder / "router_config.json"
    types = _read(path).get("types", {})
    if not isinstance(types, dict):
        raise DamagedFileError(path, "not a list of modules")
    return [_Module(module.folder / name, str(type_)) for name, type_ in types.items()]


def _weights(folder: Path) -> list[Path]:
    """Return the weight files that would be loaded from one folder; those an index names may be missing."""
    for name in _WEIGHTS:
        path = folder / name
        if not os.path.lexists(path):  # a link to nothing is a file that is missing
            continue
        if not name.endswith(".index.json"):
            return [path]
        shards = _read(path).get("weight_map", {})
        if not isinstance(shards, dict) or not shards:
            raise DamagedFileError(path, "not an index of weights")
        return [folder / shard for shard in sorted(set(map(str, shards.values())))]
    return sorted(folder.glob("*.safetensors"))


def _read(path: Path, kind: type = dict) -> Any:
    """Return a JSON file's object, empty where there is no file. Raises DamagedFileError."""
    if not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedFileError(path, "not readable as JSON") from error
    if not isinstance(content, kind):
        raise DamagedFileError(path, "JSON of another shape than expected")
    return content


def _header(path: Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file: name -> dtype, shape. Raises DamagedFileError."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if (start + stream.read(len(_LFS_POINTER) - 8)) == _LFS_POINTER:
            raise DamagedFileError(path, "a Git LFS pointer, not the weights")
        stream.seek(8)
        content = stream.read(min(length, _MAX_HEADER_BYTES))
    if len(content) < length <= _MAX_HEADER_BYTES:
        raise DamagedFileError(path, "cut short")
    try:
        tensors = {name: one for name, one in json.loads(content).items() if name != "__metadata__"}
        promised = 8 + length + max((one["data_offsets"][1] for one in tensors.values()), default=0)
        _ = [(one["dtype"], math.prod(one["shape"])) for one in tensors.values()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedFileError(path, "not a safetensors file") from error
    if size != promised:
        how = "cut short" if size < promised else "longer than its header says"
        raise DamagedFileError(path, f"{how}: {size:,} of {promised:,} bytes")
    return tensors


def weight_bytes(folder: Path) -> int:
    """Return the size of the weight files that would be loaded, in bytes. Raises WeightsError."""
    return sum(path.stat().st_size for path in _all_weights(folder))


def parameter_count(folder: Path) -> int | None:
    """Return the number of values in the weights; None where they are not all safetensors.

    Raises WeightsError.
    """
    counts = _values_by_dtype(folder)
    return None if counts is None else counts.total()


def stored_dtype(folder: Path) -> str | None:
    """Return the dtype of most values, in torch's words ("bfloat16"); None as for `parameter_count`.

    Raises WeightsError.
    """
    counts = _values_by_dtype(folder)
    return None if not counts else _DTYPES.get(dtype := counts.most_common(1)[0][0], dtype.lower())


def needs_remote_code(folder: Path) -> bool:
    """Tell whether loading the model would run Python code of its own. Raises WeightsError."""
    modules = _modules(folder)
    foreign = any(not one.type.startswith("sentence_transformers.") for one in modules)
    configs = {folder, *(one.folder for one in modules)}
    return foreign or any("auto_map" in _read(one / "config.json") for one in configs)


def kind_of(folder: Path) -> Kind:
    """Return what the model's own configuration says it is. Raises WeightsError."""
    type_ = _read(folder / "config_sentence_transformers.json").get("model_type")
    if type_ == "MultiVectorEncoder":
        return "multi-vector"
    classes = _read(folder / "config.json").get("architectures") or ()
    scores = any(str(one).endswith("ForSequenceClassification") for one in classes)
    return "reranker" if type_ == "CrossEncoder" or (type_ is None and scores) else "embedder"


def _all_weights(folder: Path) -> list[Path]:
    paths = [path for module in _modules(folder) for path in _weights(module.folder)]
    for path in (unique := list(dict.fromkeys(paths))):
        check_weights(path)
    return unique


def _values_by_dtype(folder: Path) -> Counter[str] | None:
    paths, counts = _all_weights(folder), Counter[str]()
    if not paths or any(path.suffix != ".safetensors" for path in paths):
        return None
    for path in paths:
        for tensor in _header(path).values():
            counts[tensor["dtype"]] += math.prod(tensor["shape"])
    return counts


def _named(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _is_whole(folder: Path) -> bool:
    return folder.is_dir() and not missing_files(folder)


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [one for one in folder.iterdir() if one.is_dir()]
    except OSError:  # none, or somebody else's
        return []


def _may_be_an_id(text: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def _is_dir(model: str) -> bool:
    """Tell whether somebody named a folder; what the system refuses to look up (too long, "") is none."""
    try:
        return bool(model.strip()) and Path(model).expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # RuntimeError: "~name" of nobody
        return False


def _is_file(model: str) -> bool:
    try:
        return bool(model.strip()) and Path(model).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False
