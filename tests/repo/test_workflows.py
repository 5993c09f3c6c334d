"""The files of .github: what they call exists, and they name no machine of ours."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def steps(path):
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        yield from job.get("steps", ())


def commands(path):
    return [step["run"] for step in steps(path) if "run" in step]


def test_there_are_the_three():
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "nightly.yml", "release.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_targets_and_files_exist(path):
    makefile = (ROOT / "Makefile").read_text()
    for command in commands(path):
        for target in re.findall(r"\bmake ([a-z-]+)", command):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
        for name in re.findall(r"tests/[\w/.]+", command):
            assert (ROOT / name).exists(), name
    for step in steps(path):
        for name in step.get("with", {}).get("cache-dependency-path", "").split():
            assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_rights_are_few_and_jobs_end(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        if "uses" in job:  # its jobs have their own limits
            assert (ROOT / job["uses"]).is_file()
            continue
        assert job["timeout-minutes"] <= 350
        assert job.get("permissions", {}).keys() <= {"id-token"}


def test_a_release_is_tested_first():
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]
    assert jobs["ci"] == {"uses": "./.github/workflows/ci.yml"}
    assert set(jobs["publish"]["needs"]) == {"ci", "check"}


def test_every_python_of_the_classifiers_is_tested():
    text = (ROOT / "pyproject.toml").read_text()
    versions = set(re.findall(r"Python :: (3\.\d+)", text))
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert {row["python"] for row in jobs["test"]["strategy"]["matrix"]["include"]} == versions
    assert set(jobs["wheel"]["strategy"]["matrix"]["python"]) == versions


def test_nothing_names_a_machine():
    files = [path for path in (ROOT / ".github").rglob("*") if path.is_file()]
    files += [ROOT / name for name in ("SECURITY.md", "CITATION.cff", "CODE_OF_CONDUCT.md")]
    folders = "|".join(("work", "root", "home", "tmp"))
    for path in files:
        assert not re.search(rf"/({folders})/|index-url", path.read_text()), path


def test_issue_forms_have_what_github_needs():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.name == "config.yml":
            assert all(link.keys() == {"name", "url", "about"} for link in form["contact_links"])
            continue
        assert {"name", "description", "body"} <= form.keys()
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert len({field["id"] for field in fields}) == len(fields)
        assert all(field["attributes"]["label"] for field in fields)


def test_promises_of_security_name_tests_that_exist():
    text = (ROOT / "SECURITY.md").read_text()
    folder = ""
    names = re.findall(r"`((?:tests/)?[\w/]+(?:\.py)?)`", text)
    checked = 0
    for name in names:
        if name.startswith("tests/"):
            folder = name.rpartition("/")[0] if name.endswith(".py") else name
            assert (ROOT / name).exists(), name
        elif name.endswith(".py"):
            assert (ROOT / folder / name).exists(), name
        else:
            continue
        checked += 1
    assert checked > 10
