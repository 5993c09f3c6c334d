"""Extension of griffe: doctests at the end of a docstring become its examples."""

from __future__ import annotations

import re

import griffe


class Examples(griffe.Extension):
    """Puts the heading that Google style wants before the first doctest of a docstring."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Changes the docstring of a module, class or function in place."""
        if obj.docstring and "Examples:" not in obj.docstring.value:
            before, mark, after = obj.docstring.value.partition("\n\n>>> ")
            if mark:
                lines = re.sub(r"^(?=.)", "    ", ">>> " + after, flags=re.MULTILINE)
                obj.docstring.value = f"{before}\n\nExamples:\n{lines}"
