"""The command line: thin commands that call the functions of the package.

Packages that take long to import, such as PyTorch, are imported inside the commands, so that
``congeal --help`` is fast.
"""

from congeal.cli.app import app, main

__all__ = ["app", "main"]
