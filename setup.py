"""Packages of the wheel, and its long description; everything else is in pyproject.toml."""

import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|#)([^)\s]+)\)")


def repository() -> str:
    """Returns the address of the repository."""
    return tomllib.loads((HERE / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


def long_description(tag: str) -> str:
    """Returns README.md with links that work outside the repository.

    Args:
        tag: the tag or branch whose files the links name, such as "v0.2.0".
    """

    def absolute(link: re.Match[str]) -> str:
        mark, text, target = link.groups()
        return f"{mark}[{text}]({repository()}/{'raw' if mark else 'blob'}/{tag}/{target})"

    return _LINK.sub(absolute, (HERE / "README.md").read_text())


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
