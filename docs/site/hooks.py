"""Hooks of mkdocs: pages of files outside docs/, links that lead to them, a repair of the search.

A link between Markdown files of the repository, such as `../configs/unet.py` in docs/train.md,
works on a code host. On the site, `PAGES`, configs and examples are pages below repository/.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "launch/README.md", "benchmarks/README.md")
NOT_SEARCHED = {"repository/README.md", "repository/CHANGELOG.md"}  # they repeat other pages
FIRST_FOUND = {"start.md", "folder.md", "own_photos.md", "faq.md", "cite.md"}
# [text](target#anchor) or ![text](target) with a relative target
_LINK = re.compile(r"(!?\[([^\]]*)\]\()(?!\w+:|#|/)([^)#\s]+)((?:#[^)]*)?\))")
_NUMBER = re.compile(r"\[[-+.\d, ]+\]|[-+.\d]+ ± [.\d]+")  # [low, high]; mean ± deviation
# In lunr's TokenSet.toString: the key of a node, of the letters and the numbers of its children.
_NODE_KEY = "e=e+s+o.id}return e}"
_BADGE = re.compile(r"\[?!\[[^\]]*\]\(https?:[^)]*\)(\]\([^)]*\))?\n?")  # pictures of other servers


def site_pages() -> dict[str, str]:
    """Returns the path in the site's sources of each file outside docs/ that is a page."""
    pages = {path: f"repository/{path}" for path in PAGES}
    programs = [
        path.relative_to(ROOT).with_suffix("").as_posix()
        for folder in ("configs", "examples")
        for path in sorted((ROOT / folder).glob("[a-z]*.py"))
    ]
    return pages | {f"{name}.py": f"repository/{name}.md" for name in programs}


def on_files(files, config):
    """Adds the pages outside docs/."""
    for path, site_path in site_pages().items():
        text = _BADGE.sub("", (ROOT / path).read_text())
        if path.endswith(".py"):
            text = f"# {path}\n\n```python\n{text}```\n"
        file = File.generated(config, site_path, content=text)
        if path == "README.md" or (path.endswith(".py") and path != "configs/default.py"):
            file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown, page, **_):
    """Points links between files of the repository at pages of the site; ranks pages."""
    sources = {site_path: path for path, site_path in site_pages().items()}
    own = page.file.src_uri
    if own in NOT_SEARCHED:
        page.meta["search"] = {"exclude": True}
    elif own in FIRST_FOUND:
        page.meta["search"] = {"boost": 3}
    return unbroken(relinked(markdown, own, sources.get(own, f"docs/{own}")))


def on_post_build(config):
    """Repairs the program of the search."""
    [program] = Path(config["site_dir"]).glob("assets/javascripts/workers/search.*.js")
    program.write_text(repaired(program.read_text()))


def repaired(program: str) -> str:
    """Returns the program of the search with keys of nodes that are unique.

    lunr joins letters and numbers without a separator: "1" to node 23 and "2" to node 4 have the
    key of "1" to node 2 and "3" to node 24. Nodes are merged by key, so the index gets words that
    are in no page, and a search for their beginning ends with an error and finds nothing.
    """
    if program.count(_NODE_KEY) != 1:
        raise PluginError("lunr has changed: see whether docs/site/hooks.py still has to repair it")
    return program.replace(_NODE_KEY, _NODE_KEY.replace("o.id", 'o.id+";"'))


def unbroken(markdown: str) -> str:
    """Returns a page without line breaks within the intervals and deviations of its tables."""
    lines = markdown.split("\n")
    return "\n".join(
        _NUMBER.sub(lambda match: match[0].replace(" ", "\u00a0"), line)
        if line.startswith("|")
        else line
        for line in lines
    )


def relinked(markdown: str, site_path: str, repository_path: str) -> str:
    """Returns a page with the targets of its relative links as on the site.

    Args:
        markdown: the page.
        site_path: of the page, below the site's sources.
        repository_path: of the same page.
    """
    pages = site_pages()
    folder = posixpath.dirname(repository_path)

    def link(match: re.Match) -> str:
        opening, text, given, closing = match.groups()
        path = posixpath.normpath(posixpath.join(folder, given))
        if path.startswith("docs/"):
            target = path.removeprefix("docs/")
        elif path in pages:
            target = pages[path]
        elif (ROOT / path).exists():
            return text  # a file without a page
        else:
            return match[0]  # mkdocs reports it
        return opening + posixpath.relpath(target, posixpath.dirname(site_path) or ".") + closing

    return _LINK.sub(link, markdown)
