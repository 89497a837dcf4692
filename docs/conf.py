"""How the documentation is built: Markdown pages, and the Python reference from the docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

import congeal

sys.path.insert(0, str(Path(__file__).parent))


project = "congeal"
author = "The congeal authors"
project_copyright = "The congeal authors"
version = release = congeal.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
default_role = "code"  # docstrings write `x` for code
exclude_patterns = ["_build", "_static"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"congeal {release}"
html_show_sourcelink = False
