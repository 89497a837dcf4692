"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["Device", "Json", "Output"]

Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON for machines on stdout, nothing else.")
]
Device: TypeAlias = Annotated[
    str, typer.Option(help="Where to compute: auto, cpu, cuda, cuda:1, mps.", metavar="NAME")
]
Output: TypeAlias = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for what is written.", metavar="FOLDER")
]
