"""Which releases computed what is taken away, as far as they are installed; imports none of them."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from engine import __version__

_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "umap-learn",
    "torch",
    "sentence-transformers",
    "chromadb",
    "onnxruntime",
    "plotly",
    "streamlit",
)


def versions() -> dict[str, str]:
    """Return the releases of Gapscope, Python and the packages that numbers depend on, by name."""
    found = {"gapscope": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # optional, or not needed here
            continue
    return found
