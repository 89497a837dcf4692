"""The command line: thin commands over the functions of the package.

What takes time to import (PyTorch above all) is imported inside the commands, so that
``congeal --help`` answers at once.
"""

from congeal.cli.app import app, main

__all__ = ["app", "main"]
