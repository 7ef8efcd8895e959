"""A folder is gone on with where it holds the same question, and told where it does not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import lrpdyn
from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.atomic import sha256_of
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.resume import (
    check_unchanged,
    is_finished,
    kept_steps,
    previous_manifest,
    question_of,
)
from lrpdyn.run import journal
from lrpdyn.run.journal import append_journal, read_journal
from lrpdyn.run.manifest import is_sealed, save_manifest
from lrpdyn.run.summary import closing_lines
from tests.pipeline.setup.test_prepare import prepared
from tests.pipeline.test_compute import Vectors, contents, mlp_run


def previous(folder: Path, vectors: Vectors, out: Path, **options: Any) -> dict[str, Any] | None:
    job, checks = prepared(folder, vectors, out, **options)
    return previous_manifest(job, make_manifest(job, checks))


def finished(folder: Path, vectors: Vectors, out: Path, **options: Any) -> bool:
    job, _ = prepared(folder, vectors, out, **options)
    return is_finished(job, json.loads((out / "manifest.json").read_text()), kept_steps(job))


def test_a_folder_without_a_run_is_new_where_it_is_empty(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    assert previous(mlp_folder, vectors, out) is None
    (out / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds no run of lrpdyn \(mine\.txt"):
        previous(mlp_folder, vectors, out)


def test_the_same_question_is_gone_on_with_and_another_is_told(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    assert previous(mlp_folder, vectors, out) == json.loads((out / "manifest.json").read_text())
    with pytest.raises(RunError, match=r"rule \(.*zplus.* there, .*gamma.* here\).*--overwrite"):
        previous(mlp_folder, vectors, out, rule="gamma")
    with pytest.raises(RunError, match=r"until \(none there, 20 here\)"):
        previous(mlp_folder, vectors, out, until=20)
    with pytest.raises(UsageError, match="--recompute 7: there is no checkpoint of that step"):
        previous(mlp_folder, vectors, out, recompute=[7])
    kept = previous(mlp_folder, vectors, out, recompute=[10])
    assert kept is not None
    assert [entry["step"] for entry in kept["checkpoints"]] == [2, 4, 20, 30]
    assert [record["step"] for record in read_journal(out)] == [2, 4, 20, 30]
    assert previous(mlp_folder, vectors, out, overwrite=True) is None
    assert not (out / "metrics.csv").exists()


def test_units_are_part_of_the_question_where_they_were_given(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, checks = prepared(mlp_folder, vectors, tmp_path / "run", target="2")
    manifest = make_manifest(job, checks)
    manifest["target"]["values"] = 5 * [2]
    policy = manifest["target"]["policy"]
    assert question_of(manifest, given_values=True)["target"] == (policy, 5 * [2])
    assert question_of(manifest, given_values=False)["target"] == (policy, None)


def test_a_run_is_finished_where_all_that_is_asked_for_is_there(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    assert finished(mlp_folder, vectors, out)
    assert not finished(mlp_folder, vectors, out, keep="pixels")
    assert not finished(mlp_folder, vectors, out, tables="steps")
    assert not finished(mlp_folder, vectors, out, interventions=5)
    assert not finished(mlp_folder, vectors, out, faithfulness="all")
    assert not finished(mlp_folder, vectors, out, fill="mean")
    maps = out / "relevance" / "step_000000000010.npy"
    content = maps.read_bytes()
    maps.unlink()
    assert not finished(mlp_folder, vectors, out)
    maps.write_bytes(content)
    assert finished(mlp_folder, vectors, out)
    torch.save(torch.load(mlp_folder / "net_30.pt", weights_only=True), mlp_folder / "net_40.pt")
    assert not finished(mlp_folder, vectors, out)


def test_checkpoints_are_those_that_were_explained(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    records = list(read_journal(out))
    os.utime(mlp_folder / "net_10.pt", (1, 1))  # the same bytes at another time
    job, _ = prepared(mlp_folder, vectors, out)
    assert check_unchanged(job, records) == {2, 4, 10, 20, 30}
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)
    torch.save({key: value + 1 for key, value in weights.items()}, mlp_folder / "net_10.pt")
    with pytest.raises(RunError, match=r"net_10\.pt: changed since step 10 .* --recompute 10"):
        check_unchanged(job, records)
    (mlp_folder / "net_10.pt").unlink()
    assert check_unchanged(job, records) == {2, 4, 10, 20, 30}  # gone while it is followed
    job, _ = prepared(mlp_folder, vectors, out)
    with pytest.raises(
        RunError, match=r"step 10 was explained from .* not among the checkpoints now"
    ):
        check_unchanged(job, records)


@pytest.mark.parametrize("how", ["over it", "inside it"])
def test_a_checkpoint_that_is_replaced_with_its_size_and_time_kept_is_noticed(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, how: str
) -> None:
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    path = mlp_folder / "net_10.pt"
    before = path.stat()
    other = tmp_path / path.name
    shutil.copy(mlp_folder / "net_20.pt", other)
    if how == "over it":
        os.replace(other, path)
    else:
        path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    whole = (out / "manifest.json").read_bytes()
    with pytest.raises(RunError, match=r"net_10\.pt: changed since step 10 .* --recompute 10"):
        mlp_run(mlp_folder, vectors, out)
    assert (out / "manifest.json").read_bytes() == whole


def test_copied_checkpoints_and_lines_of_earlier_versions_are_those_that_were_explained(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    copy = tmp_path / "copy" / "mlp"
    shutil.copytree(mlp_folder, copy)  # keeps times, but no inode
    job, _ = prepared(copy, vectors, out)
    records = list(read_journal(out))
    assert check_unchanged(job, records) == {2, 4, 10, 20, 30}
    earlier = [{k: v for k, v in r.items() if k not in ("changed", "inode")} for r in records]
    (copy / "net_10.pt").write_bytes((copy / "net_10.pt").read_bytes())
    assert check_unchanged(job, earlier) == {2, 4, 10, 20, 30}


def test_a_run_of_few_samples_that_is_resumed_reads_its_journal_once(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mlp_folder / "net_30.pt").rename(tmp_path / "later")
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    (tmp_path / "later").rename(mlp_folder / "net_30.pt")
    lines, times = journal._lines, []

    def counted(path: Path) -> Iterator[bytes]:
        times.append(path)
        return lines(path)

    monkeypatch.setattr(journal, "_lines", counted)
    mlp_run(mlp_folder, vectors, out)
    assert times == [out / "journal.jsonl"]


def under_another_torch(run: Path, *steps: int) -> None:
    """Have the journal say that steps were explained with torch 2.6.0."""
    records = list(read_journal(run))
    (run / "journal.jsonl").unlink()
    for record in records:
        environment = {**record["environment"], "torch": "2.6.0"}
        changed = {"environment": environment} if record["step"] in steps else {}
        append_journal(run, {**record, **changed})


def test_steps_of_other_versions_are_told_and_void_the_promise(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mlp_folder / "net_30.pt").rename(tmp_path / "later")
    options = {"out": tmp_path / "run", "arch_args": {"activation": "tanh"}}
    whole = lrpdyn.compute(mlp_folder, vectors, **options)
    assert "promise" not in capsys.readouterr().err
    assert whole.manifest["same_bytes"] is True
    (one,) = whole.manifest["environments"]
    assert (one["from_step"], one["to_step"], one["torch"]) == (2, 20, torch.__version__)
    assert one["device"] == "cpu"
    under_another_torch(whole.path, 2, 4)
    (tmp_path / "later").rename(mlp_folder / "net_30.pt")
    run = lrpdyn.compute(mlp_folder, vectors, **options)
    says = (
        f"explained before: steps 2 to 4 with torch 2.6.0; all else with torch {torch.__version__}: the "
        "promise of the same bytes does not hold"
    )
    assert f"Note: {says}" in " ".join(capsys.readouterr().err.split())
    assert run.manifest["same_bytes"] is False
    found = [(e["from_step"], e["to_step"], e["torch"]) for e in run.manifest["environments"]]
    assert found == [(2, 4, "2.6.0"), (10, 30, torch.__version__)]
    assert f"note Versions: {says}" in " ".join("\n".join(closing_lines(run, 80)).split())
    again = lrpdyn.compute(mlp_folder, vectors, recompute=[2, 4], **options)
    assert again.manifest["same_bytes"] is True
    assert len(again.manifest["environments"]) == 1


def test_steps_of_before_versions_were_recorded_are_of_an_earlier_one(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mlp_folder / "net_30.pt").rename(tmp_path / "later")
    options = {"out": tmp_path / "run", "arch_args": {"activation": "tanh"}}
    out = lrpdyn.compute(mlp_folder, vectors, **options).path
    records = list(read_journal(out))
    (out / "journal.jsonl").unlink()
    gone = ("environment", "changed", "inode")
    append_journal(out, *({k: v for k, v in r.items() if k not in gone} for r in records))
    (tmp_path / "later").rename(mlp_folder / "net_30.pt")
    run = lrpdyn.compute(mlp_folder, vectors, **options)
    assert "explained before: steps 2 to 20 with an earlier lrpdyn; all" in capsys.readouterr().err
    assert run.manifest["environments"][0] == {"from_step": 2, "to_step": 20}
    assert run.manifest["same_bytes"] is False


def test_a_strangers_folder_is_never_overwritten(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    out = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    manifest = out / "manifest.json"
    ours = manifest.read_bytes()
    (out / "journal.jsonl").rename(tmp_path / "journal.jsonl")

    def refused(text: bytes) -> None:
        manifest.write_bytes(text)
        before = contents(out)
        for overwrite in (False, True):
            with pytest.raises(RunError) as error:
                mlp_run(mlp_folder, vectors, out, rule="gamma", overwrite=overwrite)
            assert "--overwrite" not in str(error.value)
            assert "choose another folder" in str(error.value)
        assert contents(out) == before

    (out / "report.html").write_text("mine")
    for text in (b'{"schema": 1}', b'{"name": "app", "icons": []}', b"{", b"[]", b""):
        refused(text)
    assert not list(out.glob(".lock*"))
    # What lrpdyn wrote is known by its journal where its manifest is damaged, or was edited.
    (tmp_path / "journal.jsonl").rename(out / "journal.jsonl")
    for text in (b"{", ours.replace(b'"unit": "', b'"unit": "un')):
        manifest.write_bytes(text)
        mlp_run(mlp_folder, vectors, out, overwrite=True)
        assert is_sealed(json.loads(manifest.read_bytes()))


def with_sha256_alone(run: Path) -> None:
    """Make a run as version 0.1 left it, which named weights by SHA-256 alone."""
    manifest, lines = json.loads((run / "manifest.json").read_text()), list(read_journal(run))
    del manifest["digest"]
    for entry in [*manifest["checkpoints"], *lines]:
        del entry["digest"]
        entry["sha256"] = sha256_of(Path(entry["path"]))
    save_manifest(run, manifest)
    (run / "journal.jsonl").unlink()
    append_journal(run, *lines)


def test_a_run_that_names_weights_by_sha256_is_resumed_so(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    folder = tmp_path / "series"
    shutil.copytree(mlp_folder, folder)
    later = folder / "net_30.pt"
    later.rename(tmp_path / "net_30.pt")
    out = mlp_run(folder, vectors, tmp_path / "run").path
    with_sha256_alone(out)
    for path in folder.iterdir():
        os.utime(path)  # other stamps: the digests decide
    shutil.copy(folder / "net_20.pt", later)
    manifest = mlp_run(folder, vectors, out).manifest
    assert manifest["digest"] == "sha256"
    assert manifest["weights"]["same"] == [
        [20, 30]
    ]  # of which one was named by the earlier version
    for entry in manifest["checkpoints"]:
        assert entry["digest"] == f"sha256-{entry['sha256']}"
        assert entry["sha256"] == sha256_of(Path(entry["path"]))
    with pytest.raises(
        RunError, match="--digest xxh3_128: the run has sha256 of its checkpoints; le"
    ):
        mlp_run(folder, vectors, out, digest="xxh3_128")
    torch.save(torch.load(tmp_path / "net_30.pt"), folder / "net_10.pt")
    with pytest.raises(RunError, match=r"net_10\.pt: changed since step 10 was explained"):
        mlp_run(folder, vectors, out)
    assert mlp_run(folder, vectors, out, overwrite=True).manifest["digest"] == "xxh3_128"
