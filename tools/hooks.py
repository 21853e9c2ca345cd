"""What mkdocs runs while it builds the site: it adds the pages that are generated, and places those that mkdocs.yml does not name."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # mkdocs reads this file by its path

from mkdocs.structure.files import File, Files

from tools.reference import API, pages

SECTIONS = {"Tutorials": "tutorials", "How-to": "howto", "Explanation": "explanation"}


def on_config(config: Any) -> Any:
    """Places the API's pages in the reference, and at the end of each section the pages of its folder that mkdocs.yml does not name."""
    named = str(config.nav)
    for section in config.nav:
        ((title, entries),) = section.items()
        if title == "Reference":
            entries.append({"The library": [f"reference/api/{name}.md" for name in ("index", *API)]})
        if title in SECTIONS:
            folder = Path(config.docs_dir, SECTIONS[title])
            entries += [name for path in sorted(folder.glob("*.md")) if (name := f"{folder.name}/{path.name}") not in named]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are generated from the code."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
