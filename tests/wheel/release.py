"""Checks before a release that the tag, the version and the changelog agree.

python tests/wheel/release.py v0.2.0
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def troubles(tag, root=ROOT):
    """Returns what is wrong with a release of this tag, as lines."""
    text = (root / "colorjax" / "version.py").read_text()
    version = re.search(r'__version__ = "(.+)"', text)[1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    changelog = (root / "CHANGELOG.md").read_text()
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    names = [section.split()[0] for section in sections]
    lines = []
    if tag != f"v{version}":
        lines.append(f"the tag {tag} is not v{version}, the version of colorjax/version.py")
    if names[:2] != ["Unreleased", version]:
        lines.append(f"CHANGELOG.md must begin with the sections Unreleased and {version}")
    elif "\n- " in sections[0]:
        lines.append(f"CHANGELOG.md has lines under Unreleased; move them to {version}")
    citation = (root / "CITATION.cff").read_text()
    if f"\nversion: {version}\n" not in citation.replace('"', ""):
        lines.append(f"the version of CITATION.cff is not {version}")
    if "/OWNER/" in project["urls"]["Repository"]:
        lines.append("pyproject.toml: replace OWNER in project.urls, CITATION.cff, SECURITY.md ...")
    return lines


if __name__ == "__main__":
    found = troubles(sys.argv[1])
    print("\n".join(found) or "ready")
    sys.exit(bool(found))
