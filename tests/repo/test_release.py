"""tests/wheel/release.py: what stops a release."""

import pytest
from wheel.release import ROOT, troubles

from colorjax.version import __version__


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "colorjax").mkdir()
    for name in ("colorjax/version.py", "pyproject.toml", "CHANGELOG.md", "CITATION.cff"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    path = tmp_path / "pyproject.toml"
    path.write_text(path.read_text().replace("/OWNER/", "/someone/"))
    path = tmp_path / "colorjax/version.py"
    path.write_text(path.read_text().replace(f'"{__version__}"', '"1.2.0"'))
    path = tmp_path / "CITATION.cff"
    path.write_text(path.read_text().replace(f'"{__version__}"', '"1.2.0"'))
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.0\n\n- x\n")
    return tmp_path


def test_a_release_that_agrees_is_ready(copy):
    assert troubles("v1.2.0", copy) == []


def test_each_disagreement_is_a_line(copy):
    [line] = troubles("v1.3.0", copy)
    assert "v1.3.0 is not v1.2.0" in line
    citation = (copy / "CITATION.cff").read_text()
    (copy / "CITATION.cff").write_text(citation.replace('"1.2.0"', '"1.1.0"'))
    assert troubles("v1.2.0", copy) == ["the version of CITATION.cff is not 1.2.0"]
    (copy / "CITATION.cff").write_text(citation)
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- y\n\n## 1.2.0\n")
    [line] = troubles("v1.2.0", copy)
    assert "lines under Unreleased" in line
    (copy / "CHANGELOG.md").write_text("# Changelog\n\n## 1.1.0\n")
    assert "must begin with" in troubles("v1.2.0", copy)[0]
    (copy / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    assert any("replace OWNER" in line for line in troubles("v1.2.0", copy)) == (
        "/OWNER/" in (ROOT / "pyproject.toml").read_text()
    )
