"""The pages of the documentation as tests see them: their blocks, run in order, once a process.

A page's Python runs block after block in one namespace and an empty folder of its own. What stands
in a ```text block right after a block of Python is what that block must print.
"""

import contextlib
import io
import json
import re
import shlex
import tempfile
import warnings
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tiny

ROOT = Path(__file__).parents[1]
BUNDLED = "bundled:smollm2"
WITH_TINY = ("docs/ats.md", "docs/free_form.md")
"""Pages whose Python runs on a tiny model instead: with the bundled one it takes minutes."""
ADOPTED = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "checkpoints/README.md")
PAGES = (
    *ADOPTED,
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line where that begins."""

    language: str
    text: str
    line: int


@dataclass
class Run:
    """What a page's blocks left behind: names, what each printed, the folder that they wrote to."""

    names: dict[str, Any] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    folder: Path = Path()

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(self.printed)


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[Block]:
    text = text_of(page)
    found = re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    every = [Block(one[1], one[2], text[: one.start(2)].count("\n")) for one in found]
    return [block for block in every if not languages or block.language in languages]


def expected(page: str) -> list[tuple[str, str | None]]:
    """Each block of Python, and what it must print, if the page says so."""
    every, found = blocks(page), []
    for block, following in zip(every, [*every, None][1:], strict=True):
        if block.language == "python":
            says = following is not None and following.language == "text"
            found.append((block.text, following.text if says else None))
    return found


def commands(page: str) -> list[list[str]]:
    """Arguments of every `thermometer` command of the page's plain blocks, comments left out."""
    found = []
    for block in blocks(page, "", "bash", "console", "sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and words[0].removeprefix(".venv/bin/") == "thermometer":
                found.append(words[1:])
    return found


@cache
def run(page: str) -> Run:
    """Run a page's Python; files that a page takes for granted are put into its folder first."""
    folder = Path(tempfile.mkdtemp(prefix="page-"))
    with contextlib.chdir(folder):
        prepare(page)
    return run_in(folder, page)


def run_in(folder: Path, page: str) -> Run:
    """Run a page's Python in a folder that has what it needs; it must print what it says."""
    done = Run(folder=folder)
    with contextlib.chdir(folder), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "In 26 questions the tokens"
        )  # which the tutorial tells of
        if page in WITH_TINY:
            warnings.simplefilter("ignore")  # a random model cannot learn what the page trains
        for block in blocks(page, "python"):
            text = block.text.replace(BUNDLED, "my_model") if page in WITH_TINY else block.text
            code = compile("\n" * block.line + text, page, "exec")
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(code, done.names)
            done.printed.append(said.getvalue())
    for (_, says), printed in zip(expected(page), done.printed, strict=True):
        if says is not None:
            assert printed.strip() == says.strip(), page
    return done


def prepare(page: str) -> None:
    """What a reader of the page has at hand, in the folder at work."""
    text = text_of(page)
    if "checkpoints/demo" in text:
        Path("checkpoints").symlink_to(ROOT / "checkpoints")
    if page in WITH_TINY:
        tiny.model("llama", hidden_size=64).save_pretrained("my_model")  # as wide as a head of ATS
        tiny.tokenizer().save_pretrained("my_model")
    elif '"my_model"' in text:
        tiny.save("llama", "my_model")
    if '"pairs.jsonl"' in text:
        pairs = [{"prompt": f"What is {i} + {i}?", "response": str(2 * i)} for i in range(16)]
        lines = [json.dumps(pair) + "\n" for pair in pairs]
        Path("pairs.jsonl").write_text("".join(lines), encoding="utf-8")
