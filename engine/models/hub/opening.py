"""Opens a checkpoint folder with sentence-transformers; what it says goes into one sentence.

Nothing here reaches the network: the folder is on this machine, and asking the hub for news of a
cached model takes minutes where the hub does not answer.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ModelError, WeightsError
from engine.models.base import Kind, ModelSpec
from engine.models.device import Device, is_out_of_memory

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

_LIBRARIES = ("sentence-transformers", "transformers", "torch", "pillow")


def open_checkpoint(
    kind: Kind, spec: ModelSpec, folder: Path, device: Device, dtype: str, *, remote_code: bool
) -> SentenceTransformer | CrossEncoder:
    """Load a folder onto a device at a dtype. Raises WeightsError or ModelError with the fix.

    Memory that runs out stays the error it is: `in_memory.py` makes room and tries again.
    """
    import torch
    from sentence_transformers import CrossEncoder, SentenceTransformer

    _quieten()
    options: dict[str, Any] = {"dtype": getattr(torch, dtype)}
    if device.kind == "cuda" and spec.gpu_attention and _has_attention(spec.gpu_attention):
        options["attn_implementation"] = spec.gpu_attention
    opened = CrossEncoder if kind == "reranker" else SentenceTransformer
    try:
        return opened(
            str(folder),
            device=device.name,
            local_files_only=True,
            trust_remote_code=remote_code,
            model_kwargs=options,
        )
    except ImportError as error:
        raise ModelError(f"{spec.id} needs a package that is not installed: {first_line(error)}") from error
    except library_errors() as error:
        if is_out_of_memory(error):
            raise
        raise unusable(spec.id, error) from error
    except Exception as error:
        if type(error) is Exception:  # all that tokenizers ever raises
            raise unusable(spec.id, error) from error
        raise


def _quieten() -> None:
    """Keep the libraries' progress bars and advice to developers off the terminal; errors stay."""
    import logging as standard

    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    standard.getLogger("sentence_transformers").setLevel(standard.ERROR)


def libraries() -> str:
    """Return the releases that shape a vector, for a collection's record."""
    return ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)


def prompt_of(model: SentenceTransformer, names: Sequence[str]) -> str:
    """Return the first of the model's own prompts with one of these names, as its encode_* choose it."""
    return next((model.prompts[name] for name in names if name in model.prompts), "")


def width_of(model: SentenceTransformer) -> int:
    """Return the width of the vectors a model gives now."""
    width = model.get_embedding_dimension()
    return int(width) if width else int(model.encode([{"text": "a"}], show_progress_bar=False).shape[1])


def library_errors() -> tuple[type[Exception], ...]:
    """Return what the model libraries raise for files, and for content, that they cannot use."""
    from pickle import PickleError

    from huggingface_hub.errors import StrictDataclassError
    from jinja2 import TemplateError
    from safetensors import SafetensorError

    builtin = (RuntimeError, OSError, ValueError, TypeError, LookupError, AttributeError, ImportError)
    rarer = (MemoryError, EOFError, ArithmeticError, AssertionError)
    return (*builtin, *rarer, PickleError, StrictDataclassError, TemplateError, SafetensorError)


def unusable(model: str, error: BaseException) -> WeightsError:
    """Return the error for files that are here and cannot be used."""
    said = first_line(error)
    if "ignore_mismatched_sizes" in said or "size mismatch" in str(error):
        said = "its weights have other shapes than its configuration says."
    return WeightsError(f"{model} cannot be loaded: {said} {remedy(model)}")


def remedy(model: str) -> str:
    """Return what to do about files that look whole and do not work."""
    again = "Copy" if Path(model).is_dir() else "Delete its files and download"
    return (
        f"{again} it again; if that does not help, it was made for other releases of transformers or "
        f"sentence-transformers than these."
    )


def first_line(error: BaseException) -> str:
    """Return what a library said, as one sentence of at most 200 characters."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(" :")
    line = line if len(line) <= 200 else f"{line[:199]}…"
    return line if line.endswith((".", "!", "?", "…")) else f"{line}."


def _has_attention(name: str) -> bool:
    package = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}.get(name)
    return package is None or importlib.util.find_spec(package) is not None
