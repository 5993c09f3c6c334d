"""Writes configs as Python files that `colorjax.main` runs from any folder."""

from __future__ import annotations

import pprint
from pathlib import Path

from ml_collections import ConfigDict

from colorjax.runtime import atomic

_TEMPLATE = '''r"""{docstring}
"""

from ml_collections import ConfigDict

FIELDS = {fields}


def get_config(arg: str = "") -> ConfigDict:
    """Returns the config; takes no argument."""
    if arg:
        raise ValueError(f"this config takes no argument, got {{arg!r}}")
    return ConfigDict(FIELDS)
'''


def write(path: Path, config: ConfigDict, docstring: str) -> None:
    """Writes a config with all of its fields as Python that needs only ml_collections.

    Args:
        path: of the file, written in one step.
        config: numbers, texts, tuples and groups of those.
        docstring: of the file.
    """
    fields = config.copy_and_resolve_references().to_dict()
    text = pprint.pformat(fields, width=96, sort_dicts=False)
    docstring = docstring.replace('"""', "'''").rstrip("\\\n ")
    atomic.write_bytes(path, _TEMPLATE.format(docstring=docstring, fields=text).encode())
