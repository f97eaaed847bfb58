"""Shapes and dtypes of every call into the algorithm are checked while these tests run."""

from __future__ import annotations

import jaxtyping

jaxtyping.install_import_hook("asyppo_cli.algorithm", "beartype.beartype")
