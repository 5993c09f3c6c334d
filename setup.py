"""Packages of the wheel; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

# configs/ is at the top of the repository, and colorjax/configs in a wheel.
setup(
    packages=[*find_packages(include=["colorjax*"]), "colorjax.configs"],
    package_dir={"colorjax.configs": "configs"},
)
