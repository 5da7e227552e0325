"""How Sphinx builds the documentation: MyST pages, furo, and the docstrings of the public modules."""

from __future__ import annotations

import batchio

project = "batchio"
author = "batchio contributors"
copyright = "2026, batchio contributors"  # noqa: A001  # Sphinx's name for it
version = release = batchio.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = f"batchio {release}"

# Docstrings are Google style. Types stand in the signature; a second list of them would only repeat it.
napoleon_numpy_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
autodoc_default_options = {"members": True, "show-inheritance": True}

# No intersphinx: the build needs no network. What the standard library and the edges define is not looked up.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!batchio).*"),
    (r"py:.*", r"batchio\._core\..*"),
    (r"py:.*", r"batchio\..*\b_?[A-Z]"),  # type variables
    (r"py:.*", r"batchio\.(\w+\.)*_\w+\..*"),  # the types of what comes back, in rooms behind a door
]
