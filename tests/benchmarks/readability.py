"""How easy the prose of pages is to read: Flesch reading ease and Flesch-Kincaid grade.

Run by hand, with `textstat` installed, which is in no extra (``pip install 'textstat<0.7.5'``: later
versions fetch a dictionary and install a package called `tests`, which hides the project's own):
``python tests/benchmarks/readability.py docs/*.md``. Code, tables, headings and comments are left out,
and what stands between backticks counts as one word: nobody reads these as sentences.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_NO_PROSE = re.compile(r"^(\||#|<!--|--8<--|!\[)")


def prose_of(page: Path) -> str:
    """Return the sentences of a page, a paragraph or an item of a list in each line."""
    paragraphs: list[list[str]] = [[]]
    for line in _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines():
        if not line.strip() or _NO_PROSE.match(line):
            paragraphs.append([])
        elif item := re.match(r"\s*(?:-|\d+\.) (.*)", line):
            paragraphs.append([item[1]])
        else:
            paragraphs[-1].append(line.strip())
    text = "\n".join(" ".join(lines) for lines in paragraphs if lines)
    text = re.sub(r"`[^`]+`", "code", text)
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    return re.sub(r"[:;]$", ".", text.replace("*", ""), flags=re.MULTILINE)


def main(pages: list[str]) -> None:
    """Print a table of pages, in the order given, and a row for all of them together."""
    import textstat  # type: ignore[import-not-found,import-untyped,unused-ignore]

    texts = {page: prose_of(Path(page)) for page in pages}
    print("| page | words | words a sentence | reading ease | grade |")
    print("| --- | --- | --- | --- | --- |")
    for name, text in [*texts.items(), ("all", "\n".join(texts.values()))]:
        words, ease = textstat.lexicon_count(text), textstat.flesch_reading_ease(text)
        length = words / textstat.sentence_count(text)
        grade = textstat.flesch_kincaid_grade(text)
        print(f"| {name} | {words} | {length:.1f} | {ease:.0f} | {grade:.1f} |")


if __name__ == "__main__":
    main(sys.argv[1:])
