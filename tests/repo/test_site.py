"""The documentation site: no warning, no broken link, examples that run."""

import html
import html.parser
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers.site import build_site

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# A worker: a message with the index, then one for each word; type 3 has the pages that were found.
SEARCH = """
const fs = require("fs"), vm = require("vm");
const [program, index, words] = process.argv.slice(2).map((file) => fs.readFileSync(file, "utf8"));
const worker = { console, URL, Intl, setTimeout, location: { href: "http://x/a/b/c/d.js" } };
worker.self = worker;
worker.importScripts = () => {};
worker.addEventListener = (type, handler) => { worker.handler = handler; };
vm.runInContext(program, vm.createContext(worker));
const send = (data) => new Promise((resolve) => {
  worker.postMessage = resolve;
  worker.handler({ data });
});
(async () => {
  const { config, docs } = JSON.parse(index);
  await send({ type: 0, data: { config, docs, options: {} } });
  const counts = {};
  for (const word of JSON.parse(words))
    counts[word] = (await send({ type: 2, data: word })).data.items.length;
  console.log(JSON.stringify(counts));
})();
"""


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda page: page.stem)
def test_examples_of_the_api_run(page):
    """Blocks of one page follow each other, as a reader runs them."""
    names = {"__name__": "example"}
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), names)


result_rows = load("result_rows")
RESULTS = "## First\n\n| | x |\n|---|---|\n| **a** | 1 |\n| `b` | 2 |\n\n## Other\n\ntext\n"


def test_rows_are_copied_from_the_results():
    page = "before\n\n<!-- rows: First | b -->\n\n| old |\n\nafter\n"
    wanted = "before\n\n<!-- rows: First | b -->\n\n| | x |\n|---|---|\n| `b` | 2 |\n\nafter\n"
    assert result_rows.refreshed(page, RESULTS) == wanted
    assert result_rows.refreshed(wanted, RESULTS) == wanted


def test_intervals_in_tables_are_not_broken():
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    page = "[1, 2] of 3 ± 4\n| a b | 22.55 [22.07, 23.01] | 0.1 ± 0.02 | [a link](b.md) |\n"
    wanted = page.replace("[22.07, ", "[22.07,\u00a0").replace("0.1 ± 0", "0.1\u00a0±\u00a00")
    assert load("hooks").unbroken(page) == wanted


def test_a_search_that_changed_is_not_repaired_silently():
    exceptions = pytest.importorskip("mkdocs.exceptions", reason="pip install -e '.[docs]'")
    hooks = load("hooks")
    assert hooks.repaired("a;e=e+s+o.id}return e}b") == 'a;e=e+s+o.id+";"}return e}b'
    with pytest.raises(exceptions.PluginError, match="lunr has changed"):
        hooks.repaired("other")


@pytest.mark.slow
def test_the_search_finds_the_beginning_of_every_word(site, tmp_path):
    """Each word of a title, in the program of the search itself, by node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is missing")
    index = json.loads((site / "search" / "search_index.json").read_text())
    titles = html.unescape(" ".join(page["title"] for page in index["docs"])).lower()
    words = sorted(set(re.findall(r"\b[a-z]{5,}\b", titles)))  # no stop words
    assert {"train", "colorize", "folder"} <= set(words)
    (tmp_path / "words.json").write_text(json.dumps(words))
    [program] = site.glob("assets/javascripts/workers/search.*.js")
    script = tmp_path / "search.js"
    script.write_text(SEARCH)
    files = [program, site / "search" / "search_index.json", tmp_path / "words.json"]
    found = subprocess.run([node, script, *files], capture_output=True, text=True, check=True)
    assert "Invalid query" not in found.stdout + found.stderr
    counts = json.loads(found.stdout.splitlines()[-1])
    assert [word for word in words if not counts[word]] == []


@pytest.mark.parametrize("marker", ["First | c", "Second | a", "Other | a"])
def test_missing_rows_are_an_error(marker):
    with pytest.raises(ValueError, match=re.escape(marker.split(" | ")[0])):
        result_rows.refreshed(f"<!-- rows: {marker} -->\n\n| old |\n", RESULTS)


@pytest.mark.parametrize(
    "page", sorted((DOCS / "methods").glob("*.md")), ids=lambda page: page.stem
)
def test_results_of_a_method_are_those_of_the_results(page):
    """If this fails: python docs/site/result_rows.py."""
    text = page.read_text()
    assert text == result_rows.refreshed(text, (DOCS / "results.md").read_text())


def test_numbers_of_the_faq_are_those_of_the_results_and_the_card():
    known = "".join((DOCS / name).read_text() for name in ("results.md", "weights.md"))
    numbers = re.findall(r"[\d,.]*\d (?:s|GiB|photos|public \w+)\b", (DOCS / "faq.md").read_text())
    assert len(numbers) >= 4
    for number in numbers:
        assert re.search(rf"(?<![\d.,]){re.escape(number)}", known), number


def test_every_method_has_a_page_with_its_parts():
    index = (DOCS / "methods" / "README.md").read_text()
    configs = {path.stem for path in (ROOT / "configs").glob("[a-z]*.py")}
    pages = {path.stem for path in (DOCS / "methods").glob("*.md")} - {"README"}
    assert pages == configs - {"default", "from_json"} | {"tiles"}
    for name in pages:
        text = (DOCS / "methods" / f"{name}.md").read_text()
        assert f"({name}.md)" in index
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Idea", "Equation", "Command" if name == "tiles" else "Config", "Result"]
        assert "![" in text or "no picture" in text


def test_badges_are_left_out_of_the_site():
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    badge = "![a](https://x.example/a.svg)\n[![b](https://x.example/b.svg)](https://y.example)\n"
    assert load("hooks")._BADGE.sub("", badge + "![c](docs/c.jpg)\n") == "![c](docs/c.jpg)\n"


def test_links_of_the_repository_lead_to_pages_of_the_site():
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    relinked = load("hooks").relinked
    text = (
        "[a](../../configs/unet.py) [b](../../README.md#train) [c](../../Makefile) ![d](../x.jpg)"
    )
    wanted = (
        "[a](../repository/configs/unet.md) [b](../repository/README.md#train) c ![d](../x.jpg)"
    )
    assert relinked(text, "methods/unet.md", "docs/methods/unet.md") == wanted
    from_top = relinked("[e](docs/train.md) [f](https://x.example)", "repository/C.md", "C.md")
    assert from_top == "[e](../train.md) [f](https://x.example)"


class Links(html.parser.HTMLParser):
    """Collects the targets and the anchors of a page, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.anchors, self.loaded = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors |= {given.get("id"), given.get("name")} - {None}
        if tag == "a" and given.get("href"):
            self.targets.add(given["href"])
        elif tag in ("img", "script", "link", "iframe", "source"):
            loaded = {given.get("src"), given.get("href")} - {None}
            self.loaded |= loaded if given.get("rel") != "canonical" else set()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build_site(tmp_path_factory.mktemp("site"))


@pytest.mark.slow
def test_the_links_of_the_site_lead_to_pages_and_anchors(site):
    pages = {path: Links(path.read_text()) for path in site.rglob("*.html")}
    assert len(pages) > 50
    broken = []
    for page, links in pages.items():
        if page.name == "404.html":
            continue
        for target in links.targets | links.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            path = path / "index.html" if path.is_dir() else path
            known = pages[path].anchors | {"__top", ""} if path in pages else {""}
            if not path.is_file() or unquote(parts.fragment) not in known:
                broken.append(f"{page.relative_to(site)}: {target}")
    assert broken == []


@pytest.mark.slow
def test_the_site_loads_nothing_from_other_servers(site):
    for page in site.rglob("*.html"):
        for target in Links(page.read_text()).loaded:
            assert not urlsplit(target).netloc, f"{page.relative_to(site)} loads {target}"
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text()), style


@pytest.mark.slow
def test_pictures_and_the_search_index_are_files_of_the_site(site):
    pictures = {path.name for path in (DOCS / "images").iterdir()}
    assert {path.name for path in (site / "images").iterdir()} == pictures
    assert (site / "search" / "search_index.json").stat().st_size > 100_000
    assert not (site / "browser").exists()  # an app that `make browser` builds
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_doctests_are_shown_as_code(site):
    for page in (site / "api").glob("*.html"):
        assert "<blockquote>" not in page.read_text(), page
    assert '<span class="gp">&gt;&gt;&gt; </span>' in (site / "api" / "color.html").read_text()


@pytest.mark.slow
def test_every_name_of_the_api_has_a_heading(site):
    """A function with the name of its module is missing unless its whole path is given."""
    import yaml

    for page in sorted((DOCS / "api").glob("[a-z]*.md")):
        anchors = Links((site / "api" / f"{page.stem}.html").read_text()).anchors
        blocks = re.findall(r"^::: ([\w.]+)\n((?:    .*\n)*)", page.read_text(), re.MULTILINE)
        assert blocks
        for name, given in blocks:
            options = (yaml.safe_load(given) or {}).get("options", {})
            for member in options.get("members") or []:
                assert any(anchor.endswith(f".{member}") for anchor in anchors), (name, member)
            assert name in anchors or options.get("show_root_heading") is False, name
