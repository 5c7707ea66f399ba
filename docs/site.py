"""
Hooks of MkDocs: they turn the repository's pages, which are written for GitHub, into the pages of the site.

Pages outside ``docs/`` become pages of the site, too. Links to other files of the repository lead to its address.
"""

from __future__ import annotations

import logging
import posixpath
import re
import tomllib
from pathlib import Path

from markdown import Markdown
from markdown.extensions import Extension
from markdown_it import MarkdownIt
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

#: Files that do not have the address on the site that their path in ``docs/`` gives, and their pages.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "docs/README.md": "pages.md",
}
SOURCES = {page: source for source, page in PAGES.items()}

_LOG = logging.getLogger("mkdocs.hooks.site")
_LINK = re.compile(r"""(?P<before>\]\(|\b(?:src|href)=")(?P<path>[\w./-]+)(?=[)#"])""")


class _GitHubLists(Extension):
    """Nest lists that are indented by two spaces, as GitHub does."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802  # Markdown's name
        md.tab_length = 2
        md.build_parser()


def on_config(config: MkDocsConfig) -> None:
    """Read the repository's address from ``pyproject.toml``."""
    repository = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    config.extra["repository"] = repository
    # Unlike Material's repo_url, it fetches nothing from GitHub when a page is viewed.
    config.extra["social"] = [{"icon": "fontawesome/brands/github", "link": repository, "name": "Source"}]
    config.markdown_extensions.insert(0, _GitHubLists())  # it makes a new parser, to which the others add


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages that are outside ``docs/``."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point each link to a file of the repository to its page or, if it has none, to its address."""
    folder = posixpath.dirname(_source(page.file.src_uri))

    def link(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match["path"]))
        return match["before"] + (_target(path, files, config.extra["repository"]) or match["path"])

    return _LINK.sub(link, markdown)


def on_page_content(html: str, page: Page, **_: object) -> None:
    """Warn of a page whose lists, tables, code blocks or headings GitHub shows differently. MkDocs' parser differs."""
    on_github = MarkdownIt("gfm-like", {"linkify": False}).render((ROOT / _source(page.file.src_uri)).read_text())
    for tag in ("ul", "ol", "table", "pre", "h1", "h2", "h3", "h4"):
        here, there = (len(re.findall(rf"<{tag}\b", each)) for each in (html, on_github))
        if here != there:
            _LOG.warning("%s has %d <%s>, but %d on GitHub", page.file.src_uri, here, tag, there)


def _source(page: str) -> str:
    return SOURCES.get(page, f"docs/{page}")


def _target(path: str, files: Files, repository: str) -> str | None:
    """Return the link to a file of the repository, or nothing if there is no such file. All pages are in one folder."""
    page = PAGES.get(path, path.removeprefix("docs/"))
    if _source(page) == path and files.get_file_from_path(page):
        return page
    return f"{repository}/blob/main/{path}" if (ROOT / path).exists() else None
