"""`python -m gapless_server` is the command line `gapless`."""

from gapless_server.cli import main

if __name__ == "__main__":
    main()
