"""Hooks of mkdocs: pages made of files outside docs/, and links that lead to them.

A link between Markdown files of the repository, such as `../configs/unet.py` in docs/train.md,
works on a code host. On the site, `PAGES`, configs and examples are pages below repository/.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[2]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "launch/README.md", "benchmarks/README.md")
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)")  # target of a relative link, without anchor


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
        text = (ROOT / path).read_text()
        if path.endswith(".py"):
            text = f"# {path}\n\n```python\n{text}```\n"
        file = File.generated(config, site_path, content=text)
        if path.endswith(".py") and path != "configs/default.py":
            file.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(file)
    return files


def on_page_markdown(markdown, page, **_):
    """Points links between files of the repository at pages of the site."""
    sources = {site_path: path for path, site_path in site_pages().items()}
    own = page.file.src_uri
    return relinked(markdown, own, sources.get(own, f"docs/{own}"))


def relinked(markdown: str, site_path: str, repository_path: str) -> str:
    """Returns a page with the targets of its relative links as on the site.

    Args:
        markdown: the page.
        site_path: of the page, below the site's sources.
        repository_path: of the same page.
    """
    pages = site_pages()

    def target(match: re.Match) -> str:
        path = posixpath.normpath(
            posixpath.join(posixpath.dirname(repository_path), match.group(1))
        )
        if path.startswith("docs/"):
            path = path.removeprefix("docs/")
        elif path in pages:
            path = pages[path]
        else:
            return match.group(1)  # mkdocs reports what is not a page
        return posixpath.relpath(path, posixpath.dirname(site_path) or ".")

    return _LINK.sub(target, markdown)
