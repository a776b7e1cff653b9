"""The lessons of the gap lab: one module each, listed in `catalog.py`, drawn in one way by `walk.py`."""
