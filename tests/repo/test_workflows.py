"""The files of .github: what they call exists, and they name no machine of ours."""

import ast
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


# What Windows or macOS lack: modules, files and calls.
FOREIGN = re.compile(
    r"\bimport .*\b(resource|fcntl|pwd|grp|termios|pty)\b|/proc/|/dev/(null|full|shm)|os\.fork\b"
    r"|mkfifo|getuid|umask|\.chmod\(|symlink_to|fsdecode\(b|SIGKILL|SIGUSR"
)
GUARDS = ("linux_only", "posix_only", "skipif", "importorskip")


def unguarded(text):
    """Returns the parts of a test file, by first line, that would fail on another system.

    A function, constant or fixture that uses something foreign, or that uses such a one, hands it
    on to the tests that use it.
    """
    nodes = ast.parse(text).body
    if any(ast.unparse(node).startswith("pytestmark = ") for node in nodes):  # for all tests
        nodes = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    foreign, grows = set(), True  # names
    found = {}
    while grows:
        before = len(foreign)
        for node in nodes:
            used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            used |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
            if not (used & foreign or FOREIGN.search(ast.unparse(node))):
                continue
            if isinstance(node, ast.FunctionDef):
                marks = " ".join(map(ast.unparse, node.decorator_list))
                if any(guard in marks for guard in GUARDS):
                    continue
                foreign.add(node.name)
                if node.name.startswith("test_"):
                    found[node.lineno] = node.name
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                foreign |= {target.id for target in node.targets}
            else:
                found[node.lineno] = ast.unparse(node)
        grows = len(foreign) > before
    return found


def test_tests_that_run_on_macos_and_windows_guard_what_is_of_linux():
    (command,) = [c for c in commands(ROOT / ".github/workflows/ci.yml") if "tests/runtime" in c]
    folders = re.findall(r"tests/\w+", command)
    assert len(folders) == 3
    files = [path for folder in folders for path in (ROOT / folder).glob("*.py")]
    assert len(files) > 20
    for path in files:
        assert not unguarded(path.read_text()), path


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("import resource", [1]),
        ('NAME = os.fsdecode(b"a")', [1]),
        ('def test_a():\n    open("/proc/1")', [1]),
        ('CHILD = "import resource, sys"\ndef f():\n    f(CHILD)\ndef test_a():\n    f()', [4]),
        ('@linux_only("")\ndef test_a():\n    import resource', []),
        ('pytestmark = linux_only("")\nC = "/proc/1"\ndef test_a():\n    print(C)', []),
        ("pytestmark = linux_only('')\nimport resource", [2]),
        ("@pytest.fixture\ndef report():\n    os.fork()\ndef test_a(report):\n    pass", [4]),
        ("def test_resources():\n    resources(1)", []),
    ],
)
def test_what_is_of_linux_is_seen(text, lines):
    assert list(unguarded(text)) == lines


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
