"""Let links between docs/ and the rest of the repository work on the site as they do on GitHub (a hook of mkdocs).

Files outside docs/ that a page links to are pages under repository/, and the links of all pages are turned accordingly.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OUTSIDE = "repository"
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the files outside docs/ that pages link to, and those that these link to."""
    queue = [Path(file.abs_src_path or "") for file in files.documentation_pages()]
    queue += [add(ROOT / name, files, config) for name in ("README.md", "CHANGELOG.md")]
    while queue:
        page = queue.pop()
        for _, link, _ in LINK.findall(page.read_text("utf-8")) if page.suffix == ".md" else ():
            path = target(page, link)
            if path.is_file() and DOCS not in path.parents and not files.get_file_from_path(place(path)):
                queue.append(add(path, files, config))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn the links of a page to where the site has their files."""
    source, folder = Path(page.file.abs_src_path), os.path.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        path = target(source, match[2])
        return match[1] + os.path.relpath(place(path), folder or ".") + match[3] if path.exists() else match[0]

    return LINK.sub(turned, markdown)


def add(path: Path, files: Files, config: Any) -> Path:
    """Put a file of the repository among those of the site."""
    files.append(File.generated(config, place(path), abs_src_path=str(path), inclusion=InclusionLevel.NOT_IN_NAV))
    return path


def target(page: Path, link: str) -> Path:
    """The file that a link of a page names; of a folder its README.md."""
    path = (page.parent / link).resolve()
    return path / "README.md" if path.is_dir() else path


def place(path: Path) -> str:
    """Where a file of the repository is on the site."""
    if DOCS in path.parents:
        return path.relative_to(DOCS).as_posix()
    return f"{OUTSIDE}/{path.relative_to(ROOT).as_posix()}"
