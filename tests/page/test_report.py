"""The page as a file: self-contained, escaped, written whole; and the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.page.report import write_report
from lrpdyn.run.manifest import save_manifest
from tests.page.elements import Elements


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", "-m", "lrpdyn", "report", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_page_is_one_file_that_asks_for_nothing(image_run: lrpdyn.Run, tmp_path: Path) -> None:
    written = write_report(image_run, tmp_path / "page.html")
    assert written.path == tmp_path / "page.html"
    assert written.notes == ()
    assert list(tmp_path.iterdir()) == [written.path]
    page = Elements(written.path.read_text())
    for tag, attributes in page.found:
        for name in ("src", "href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,", "data:image/png;")), tag
    assert not re.search(r"url\(|@import", written.path.read_text().partition("<script")[0])
    assert "Before you read the maps" in page.text


def test_the_command_writes_into_the_run(copied: Callable[[str], Path]) -> None:
    folder = copied("lrpdyn-run")
    result = command(cwd=folder.parent)
    assert result.returncode == 0, result.stderr
    assert (result.stdout, result.stderr) == ("lrpdyn-run/report.html\n", "")
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    curve = folder.parent / "progress.csv"
    curve.write_text("step,reward\n0,1\n40,3\n")
    result = command("lrpdyn-run", "-o", "other.html", "--curve", f"{curve}:reward",
                     cwd=folder.parent)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "Training curve: progress.csv:reward" in (folder.parent / "other.html").read_text()


def test_no_torch_is_loaded(copied: Callable[[str], Path]) -> None:
    folder = copied("run")
    code = (
        "import sys, lrpdyn.cli.main as m\n"
        f"sys.argv = ['lrpdyn', 'report', {str(folder)!r}]\n"
        "try:\n    m.main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        "assert not {'torch', 'captum', 'scipy'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_without_bokeh_one_line_says_what_to_install(copied: Callable[[str], Path]) -> None:
    folder = copied("run")
    code = (
        "import sys; sys.modules['bokeh'] = None\nimport lrpdyn.cli.main as m\n"
        f"sys.argv = ['lrpdyn', 'report', {str(folder)!r}]\nm.main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    expected = "Error: lrpdyn report needs the package bokeh: pip install 'lrpdyn[report]'\n"
    assert result.stderr == expected
    assert not (folder / "report.html").exists()


def test_what_cannot_be_done_is_one_line(copied: Callable[[str], Path], tmp_path: Path) -> None:
    result = command("nothing", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: nothing: holds no run of lrpdyn")
    folder = copied("run")
    result = command("run", "-o", ".", cwd=tmp_path)
    assert result.returncode == 2
    assert "-o .: is a folder, expected the name of a page" in result.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "relevance" / "step_000000000032.npy").unlink()
    result = command("run", cwd=tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert "step_000000000032.npy: cannot be read" in result.stderr
    manifest["checkpoints"][-1]["status"] = "pending"
    save_manifest(folder, manifest)
    result = command("run", cwd=tmp_path)
    assert result.returncode == 1
    assert "the run is not finished" in result.stderr


def test_overwriting_a_run_takes_its_page_along(copied: Callable[[str], Path]) -> None:
    from lrpdyn.run.layout import clear_run

    folder = copied("run")
    write_report(lrpdyn.open_run(folder))
    clear_run(folder, [])
    assert not (folder / "report.html").exists()


def test_an_unwritable_place_leaves_nothing(image_run: lrpdyn.Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_report(image_run, tmp_path / "file" / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
