"""Run the command line for `python -m evalharness`."""

from evalharness.cli.main import main

if __name__ == "__main__":
    main()
