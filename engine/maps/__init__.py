"""Vectors to places on a map: fitted, kept, judged, and what is selected on one."""
