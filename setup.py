"""Packages of the wheel, and its long description; everything else is in pyproject.toml."""

import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# Who reads the long description on an index has no clone.
_INSTALL = (
    ("cd colorjax                      # a clone of this repository\n", ""),
    ("pip install .                    #", "pip install colorjax             #"),
    ("`pip install '.[film]'`", "`pip install 'colorjax[film]'`"),
    (
        "To try colorjax first, run\n`make demo`: it",
        "To try colorjax first, run\n`make demo` in a clone: it",
    ),
)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def repository() -> str:
    """Returns the address of the repository."""
    return tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def long_description(tag: str) -> str:
    """Returns README.md with links and an installation that work outside the repository.

    Args:
        tag: the tag or branch whose files the links name, such as "v0.2.0".
    """

    def absolute(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        return f"{mark}[{text}]({repository()}/{'raw' if mark else 'blob'}/{tag}/{target})"

    text = (HERE / "README.md").read_text()
    for here, elsewhere in _INSTALL:
        text = text.replace(here, elsewhere)
    return _LINK.sub(absolute, text)


def version() -> str:
    """Returns the version, of colorjax/version.py."""
    text = (HERE / "colorjax" / "version.py").read_text()
    return re.search(r'__version__ = "(.+)"', text)[1]


if __name__ == "__main__":  # also in a build
    # configs/ is at the top of the repository, and colorjax/configs in a wheel.
    setup(
        packages=[*find_packages(include=["colorjax*"]), "colorjax.configs"],
        package_dir={"colorjax.configs": "configs"},
        long_description=long_description(f"v{version()}"),
        long_description_content_type="text/markdown",
    )
