"""What `python -m engine` runs; the commands are in `engine/cli/`."""

from engine.cli.app import main

if __name__ == "__main__":
    main()
