"""The engine of Gapscope: everything that is not drawing; it never imports streamlit or pages.

Importing this package loads nothing heavy: torch, chromadb, umap and plotly are imported by the
functions that need them.
"""

__version__ = "0.1.0"
