"""Pocket, the embedded default: text and pictures in one 384-dimensional space, offline, on a CPU."""
