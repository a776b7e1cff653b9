"""What `python -m engine` runs; the commands are in `engine/cli/`."""

from engine.cli.app import main

main()
