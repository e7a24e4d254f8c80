"""What `mkdocs.yml` adds to the build: pages from outside docs/, notebooks, the command line.

Pages that belong beside what they describe (checkpoints/README.md …) become pages of the site, and
links between both worlds are turned to where the pages end up. Links to other files of the
repository stay as text: the site has no copy of them.
"""

import base64
import json
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
ADOPTED = {
    "benchmarks/README.md": "benchmarks.md",
    "checkpoints/README.md": "checkpoints.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
COMMAND_LINE = "api/command_line.md"
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no Markdown files of docs/."""
    for source, name in ADOPTED.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        for name, content in notebook_files(path):
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    files.append(File.generated(config, COMMAND_LINE, content=command_line()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links that cross the border of docs/."""
    here = page.file.src_uri
    origin = {name: source for source, name in ADOPTED.items()}.get(here, f"docs/{here}")
    return _LINK.sub(lambda link: turned(link, origin, here), markdown)


def turned(link: re.Match[str], origin: str, here: str) -> str:
    """A link of the page that lies at `origin` in the repository and at `here` on the site."""
    text, target = link.groups()
    if re.match(r"[a-z]+:|#", target):
        return link.group()
    path, hash_, anchor = target.partition("#")
    found = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
    on_site = ADOPTED.get(found, found.removeprefix("docs/"))
    if on_site == found:  # neither adopted nor below docs/
        if not (ROOT / found).exists():
            raise ValueError(f"{origin}: the link to {target} leads to no file")
        return text
    return f"[{text}]({posixpath.relpath(on_site, posixpath.dirname(here) or '.')}{hash_}{anchor})"


def notebook_files(path: Path) -> Iterator[tuple[str, str | bytes]]:
    """The page of an executed notebook, and its pictures."""
    lines, pictures = [], 0
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            lines.append(source)
            continue
        lines.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data: dict[str, Any] = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                pictures += 1
                name = f"{path.stem}_{pictures}.png"
                yield name, base64.b64decode("".join(data["image/png"]))
                lines.append(f"![What the cell draws]({name})")
            else:
                lines.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    lines.append(f"*[This notebook]({path.name}) was executed by `docs/_site/notebooks.py`.*")
    yield f"{path.stem}.md", "\n\n".join(lines) + "\n"


def command_line() -> str:
    """Every command with its arguments, as `--help` shows them."""
    os.environ["COLUMNS"] = "92"  # the width of the help is that of the terminal otherwise
    from thermometer import cli

    parts = [
        "# The command line",
        "What `thermometer COMMAND --help` prints. Every argument can stand in a YAML file that "
        "`--config` names; `--print_config` shows the result.",
    ]
    for name in cli.COMMANDS:
        parser = cli.command_parser(name)
        parser.prog = f"thermometer {name}"
        parts += [f"## {name}", f"```text\n{parser.format_help().rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"
