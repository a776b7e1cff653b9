"""Bytes into media items: sniffing by content, limits, one decoder per kind, thumbnails."""
