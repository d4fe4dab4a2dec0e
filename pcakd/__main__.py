"""`python -m pcakd`: the program that the `pcakd` command starts, put together in `flows/cli.py`."""

import runpy

if __name__ == "__main__":
    runpy.run_module("flows.cli", run_name="__main__")
