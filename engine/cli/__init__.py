"""The command line; the only place of the engine that writes to standard output."""
