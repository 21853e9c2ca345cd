"""What mkdocs runs while it builds the site: it adds the pages that are generated."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # mkdocs reads this file by its path

from mkdocs.structure.files import File, Files

from tools.reference import pages


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are generated from the code."""
    for path, text in pages().items():
        files.append(File.generated(config, path, content=text))
    return files
