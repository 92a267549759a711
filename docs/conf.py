"""How the documentation is built: `tox -e docs`, or `sphinx-build -W docs docs/_build/html`. It needs no network."""

import os
import sys
from pathlib import Path

# Before anything imports Keras. JAX is the lightest backend to install.
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import keras_clr

project = "keras-clr"
author = "The keras-clr developers"
copyright = author
version = release = keras_clr.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "cause_pictures",
    "docstrings",
    "finding_links",
    "mathml",
    "public_names",
]
exclude_patterns = ["_build", "results", "**/GALLERY_HEADER.rst", "**/README.rst"]

myst_enable_extensions = ["dollarmath"]
# `why-stuck.md#dead-layer` is a heading there, as on GitHub.
myst_heading_anchors = 3

# The docstrings write code in single backticks, as Keras' do.
default_role = "code"
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "none"
napoleon_use_ivar = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    # Every example is executed by every build; `-D plot_gallery=0` leaves them out.
    "run_stale_examples": True,
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,  # That page takes scripts from elsewhere.
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib",),
}

html_theme = "furo"
html_title = "keras-clr"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["keras-clr.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b57a4", "color-brand-content": "#0b57a4"},
    "dark_css_variables": {"color-brand-primary": "#8ab8f5", "color-brand-content": "#8ab8f5"},
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
