"""Artifacts: what a body leaves with its run, and that nothing leads out of the folder."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from task import ArtifactError, ManagerStateError, Run, RunState, TaskError, TaskManager
from task.remote.messages import StandIn
from task.runs import artifacts, folders, remove_artifacts
from task.runs.artifacts import Artifact, RunArtifacts

#: So long is waited for what another thread does, on a machine that lets it wait. Seconds.
LIMIT = 60.0

NOON = datetime.datetime(2026, 5, 4, 12, tzinfo=datetime.UTC)
ID = "019df2e6-6c00-7000-8000-000000000000"

posix = pytest.mark.skipif(os.name != "posix", reason="makes what only POSIX has")


@pytest.fixture(params=["in an open folder", "by paths"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a manager, on a system that can look names up in an open folder and on one that cannot."""
    if request.param == "by paths":
        monkeypatch.setattr(folders, "_ANCHORED", False)
        monkeypatch.setattr(folders, "_NO_LINK", 0)
    return tmp_path / "artifacts"


@pytest.fixture
def kept(folder: Path) -> RunArtifacts:
    """The artifacts of one run of the task ``report``."""
    return RunArtifacts(str(folder), ID, "report")


def names(found: list[Artifact]) -> list[str]:
    return [artifact.name for artifact in found]


def files_below(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if not found.is_dir())


# What is saved.


def test_bytes_are_the_content(kept: RunArtifacts, folder: Path) -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=5)

    saved = kept.save("picture.png", b"\x89PNG\r\n")

    assert (saved.name, saved.size, saved.path) == ("picture.png", 6, folder / ID / "picture.png")
    assert before < saved.saved_at < datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=5)
    assert saved.read_bytes() == b"\x89PNG\r\n"
    assert kept.listed() == [saved]


def test_a_text_is_the_content_and_no_path(kept: RunArtifacts, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the machine")

    saved = kept.save("note", str(secret))

    assert saved.read_text() == str(secret)


def test_text_is_utf_8_with_the_line_ends_that_it_has(kept: RunArtifacts) -> None:
    saved = kept.save("note.txt", "één\r\ntwee\n")

    assert saved.read_bytes() == b"\xc3\xa9\xc3\xa9n\r\ntwee\n"
    assert saved.read_text() == "één\r\ntwee\n"


def test_a_path_is_a_file_that_is_copied(kept: RunArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "CHUNK", 3)
    source = tmp_path / "source"
    source.write_bytes(b"12345678")

    saved = kept.save("copy", source)
    source.write_bytes(b"changed")

    assert (saved.size, saved.read_bytes()) == (8, b"12345678")


def test_an_empty_file_is_an_artifact(kept: RunArtifacts) -> None:
    assert kept.save("empty", b"").read_bytes() == b""


def test_the_same_name_again_replaces_it(kept: RunArtifacts, folder: Path) -> None:
    kept.save("note", "a long first text")
    kept.save("note", "second")

    assert [(artifact.name, artifact.size) for artifact in kept.listed()] == [("note", 6)]
    assert files_below(folder) == [f"{ID}/note"]


def test_an_artifact_can_be_saved_again_from_its_own_path(kept: RunArtifacts) -> None:
    saved = kept.save("note", "text")

    assert kept.save("note", saved.path).read_text() == "text"


def test_they_are_listed_by_name(kept: RunArtifacts) -> None:
    for name in ("b", "c", "a"):
        kept.save(name, name)

    assert names(kept.listed()) == ["a", "b", "c"]


@posix
def test_nobody_else_may_read_them(kept: RunArtifacts, folder: Path) -> None:
    saved = kept.save("note", "text")

    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / ID, saved.path)]
    assert modes == [0o700, 0o700, 0o600]


def test_bytes_that_are_no_text_are_refused_as_text(kept: RunArtifacts) -> None:
    with pytest.raises(ArtifactError, match=r"'picture' is not text in UTF-8: use read_bytes\(\)"):
        kept.save("picture", b"\xff").read_text()


def test_what_is_neither_is_refused(kept: RunArtifacts) -> None:
    wrong: Any = bytearray(b"x")
    with pytest.raises(ArtifactError, match=r"Task 'report': .*'note' was not saved: pass bytes, text, .*'bytearray'"):
        kept.save("note", wrong)


def test_text_that_utf_8_cannot_write_is_refused(kept: RunArtifacts) -> None:
    with pytest.raises(ArtifactError, match="pass bytes"):
        kept.save("note", "\udc80")


# Names.


@pytest.mark.parametrize(
    "name",
    [
        "report.csv",
        "a",
        "two words.txt",
        "één.txt",
        "数.csv",
        "a..b",
        "-rf",
        "console.txt",
        "com10",
        "nul_",
        "x" * 200,
        "é" * 100,
    ],
)
def test_a_name_that_every_system_takes_is_kept_as_it_is(kept: RunArtifacts, name: str) -> None:
    assert names([kept.save(name, name)]) == names(kept.listed()) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "../up",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "..\\up",
        "C:report",
        "C:\\report",
        "stream:hidden",
        "//server/share",
        "nul\0",
        "line\nend",
        "tab\t",
        "\x7f",
        "\u202egnp.exe",
        "zero\u200bwidth",
        "\udc80",
        "a*",
        "a?",
        'a"',
        "a<b",
        "a|b",
        "dot.",
        "space ",
        "CON",
        "con.txt",
        "Nul .txt",
        "AUX.tar.gz",
        "COM1",
        "lpt9.log",
        "COM¹",
        "CONIN$",
        "x" * 201,
        "é" * 101,
        "x" * 1_000_000,
    ],
)
def test_a_name_that_could_lead_out_or_fail_somewhere_is_refused(kept: RunArtifacts, tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"^Task 'report': .{1,260} cannot be the name of an artifact: ") as raised:
        kept.save(name, "x")

    assert len(str(raised.value)) < 500
    assert files_below(tmp_path) == []


def test_a_name_that_is_no_text_is_refused(kept: RunArtifacts) -> None:
    wrong: Any = Path("note")
    with pytest.raises(ArtifactError, match=r"the name of an artifact is text, not '(Posix|Windows)Path'"):
        kept.save(wrong, "x")


def test_what_a_kind_of_text_says_of_itself_is_not_believed(kept: RunArtifacts, tmp_path: Path) -> None:
    class Name(str):
        def startswith(self, *_: Any) -> bool:
            return False

        def isprintable(self) -> bool:
            return True

        def __iter__(self) -> Iterator[str]:
            return iter("ab")

    with pytest.raises(ArtifactError, match="cannot be the name"):
        kept.save(Name("../up"), "x")
    assert type(kept.save(Name("note"), "x").name) is str
    assert files_below(tmp_path) == [f"artifacts/{ID}/note"]


def test_a_name_written_in_two_ways_is_one_name(kept: RunArtifacts) -> None:
    kept.save("cafe\u0301", "decomposed")
    saved = kept.save("caf\u00e9", "composed")

    assert saved.name == "caf\u00e9"
    assert [artifact.read_text() for artifact in kept.listed()] == ["composed"]


@pytest.mark.parametrize(("first", "second"), [("Note", "note"), ("ÉTÉ", "été"), ("straße", "STRASSE")])
def test_a_name_that_differs_in_letter_case_only_is_refused(kept: RunArtifacts, first: str, second: str) -> None:
    kept.save(first, "first")

    with pytest.raises(ArtifactError, match=f"there is '{first}' already, which is the same name on some systems"):
        kept.save(second, "second")
    assert [(artifact.name, artifact.read_text()) for artifact in kept.listed()] == [(first, "first")]


def test_a_name_that_this_system_cannot_write_is_refused(
    kept: RunArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("latin-1"))

    with pytest.raises(ArtifactError, match="'数' cannot be the name of an artifact: this system cannot write it"):
        kept.save("数", "x")
    assert files_below(tmp_path) == []


def test_a_file_whose_name_no_artifact_can_have_is_not_listed(kept: RunArtifacts, folder: Path) -> None:
    kept.save("note", "text")
    for name in ("cafe\u0301", ".hidden", "dot."):
        (folder / ID / name).write_text("put there by somebody else")

    assert names(kept.listed()) == ["note"]


@pytest.mark.parametrize("run_id", ["..", "../x", "", "a/b", "\0"])
def test_an_id_that_leads_out_of_the_folder_is_refused(folder: Path, run_id: str) -> None:
    (folder / "inside").mkdir(parents=True)
    (folder.parent / "x").mkdir()
    with pytest.raises(ArtifactError, match="not the id of a run"):
        RunArtifacts(str(folder), run_id, "report").save("note", "x")
    with pytest.raises(ArtifactError, match="not the id of a run"):
        RunArtifacts(str(folder), run_id, "report").listed()
    with pytest.raises(ArtifactError, match="not the id of a run"):
        remove_artifacts(folder, run_id)
    assert (folder / "inside").exists()
    assert (folder.parent / "x").exists()


# Links, and what is no file.


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is none of ours, with a file in it."""
    path = tmp_path / "outside"
    path.mkdir()
    (path / "note").write_text("not ours")
    return path


@posix
def test_a_run_folder_that_is_a_link_is_refused(kept: RunArtifacts, folder: Path, outside: Path) -> None:
    folder.mkdir()
    (folder / ID).symlink_to(outside)

    with pytest.raises(ArtifactError, match="is a link, or no folder: remove it"):
        kept.save("note", "ours")
    with pytest.raises(ArtifactError, match=f"the artifacts of run {ID} cannot be listed: .* is a link"):
        kept.listed()
    with pytest.raises(ArtifactError, match="is a link"):
        Artifact("note", 8, folder / ID / "note", NOON).read_bytes()
    assert files_below(outside) == ["note"]
    assert (outside / "note").read_text() == "not ours"


@posix
def test_a_link_inside_is_not_listed_and_not_read(kept: RunArtifacts, folder: Path, outside: Path) -> None:
    saved = kept.save("note", "ours")
    saved.path.unlink()
    saved.path.symlink_to(outside / "note")

    assert kept.listed() == []
    with pytest.raises(ArtifactError, match="'note' cannot be read: it is a link"):
        saved.read_bytes()


@posix
def test_saving_replaces_a_link_and_not_what_it_leads_to(kept: RunArtifacts, folder: Path, outside: Path) -> None:
    (folder / ID).mkdir(parents=True)
    (folder / ID / "note").symlink_to(outside / "note")

    saved = kept.save("note", "ours")

    assert not saved.path.is_symlink()
    assert saved.read_text() == "ours"
    assert (outside / "note").read_text() == "not ours"


@posix
def test_a_link_that_takes_the_place_of_the_folder_meanwhile_leads_nowhere(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "artifacts"
    kept = RunArtifacts(str(folder), ID, "report")

    def exchange(*_: object) -> None:
        (folder / ID).rename(folder / "moved")
        (folder / ID).symlink_to(outside)

    monkeypatch.setattr(artifacts, "_copy", exchange)
    kept.save("note", "ours")

    assert (outside / "note").read_text() == "not ours"
    assert (folder / "moved" / "note").exists()


@posix
def test_a_pipe_a_folder_and_a_half_file_inside_are_not_listed(kept: RunArtifacts, folder: Path) -> None:
    kept.save("note", "text")
    (folder / ID / "folder").mkdir()
    os.mkfifo(folder / ID / "pipe")
    (folder / ID / ".0123456789abcdef").write_text("half")

    assert names(kept.listed()) == ["note"]
    with pytest.raises(ArtifactError, match="'pipe' cannot be read: it is a link, or no file"):
        Artifact("pipe", 0, folder / ID / "pipe", NOON).read_bytes()
    with pytest.raises(ArtifactError, match="'folder' was not saved: "):
        kept.save("folder", "x")
    assert ".0123456789abcdef" in files_below(folder / ID)


@posix
@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "device", "missing"])
def test_a_source_that_is_no_file_is_refused(
    kept: RunArtifacts, folder: Path, outside: Path, tmp_path: Path, kind: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(outside / "note")
    sources = {"folder": outside, "device": Path("/dev/zero")}

    with pytest.raises(ArtifactError, match=f"{kind if kind not in sources else ''}.* cannot be copied"):
        kept.save("copy", sources.get(kind, tmp_path / kind))
    assert kept.listed() == []


@posix
def test_a_pipe_that_takes_the_place_of_a_file_is_neither_waited_for_nor_read(
    kept: RunArtifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(folders, "is_plain", lambda info, kind: True)  # it was a file when it was looked at

    with pytest.raises(ArtifactError, match="it is no file"):
        kept.save("copy", tmp_path / "pipe")


def test_a_source_with_a_nul_in_it_is_refused(kept: RunArtifacts) -> None:
    with pytest.raises(ArtifactError, match="cannot be copied"):
        kept.save("copy", Path("a\0b"))


@posix
def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "artifacts").symlink_to(tmp_path / "there")
    RunArtifacts(str(tmp_path / "artifacts"), ID, "report").save("note", "text")

    assert files_below(tmp_path / "there") == [f"{ID}/note"]


def test_a_file_of_any_age_can_be_listed(kept: RunArtifacts) -> None:
    for name, moment in (("future", 400_000_000_000), ("past", -400_000_000_000)):
        saved = kept.save(name, name)
        with contextlib.suppress(OverflowError):  # a file system that cannot keep it
            os.utime(saved.path, (moment, moment))

    assert names(kept.listed()) == ["future", "past"]


# Bounds and failures.


def test_a_hundred_megabytes_are_the_most(kept: RunArtifacts, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(100_000_001)

    with pytest.raises(ArtifactError, match="'copy' was not saved: it has more than 100 MB, the most for one artifact"):
        kept.save("copy", large)
    assert kept.listed() == []


@pytest.mark.parametrize("content", [b"12345678901", "12345678901", "éééééé"])
def test_content_over_the_limit_is_refused(
    kept: RunArtifacts, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | str
) -> None:
    monkeypatch.setattr(artifacts, "ARTIFACT_LIMIT", 10)
    kept.save("note", b"1234567890")

    with pytest.raises(ArtifactError, match="the most for one artifact"):
        kept.save("note", content)
    assert files_below(folder) == [f"{ID}/note"]
    assert kept.listed()[0].read_bytes() == b"1234567890"


def test_a_file_that_has_grown_is_not_read(kept: RunArtifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = kept.save("note", b"12345678901")
    monkeypatch.setattr(artifacts, "ARTIFACT_LIMIT", 10)

    with pytest.raises(ArtifactError, match="'note' cannot be read: it has more than"):
        saved.read_bytes()


def test_a_run_has_a_hundred_at_most(kept: RunArtifacts) -> None:
    for number in range(100):
        kept.save(f"note {number:02}", "first")

    kept.save("note 42", "again")
    with pytest.raises(ArtifactError, match="'one more' was not saved: the run has 100 artifacts, the most"):
        kept.save("one more", "x")
    assert len(kept.listed()) == 100


class _FullDisk:
    """A file on a disk that is full after three bytes."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> _FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[:3])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_and_leaves_nothing(
    kept: RunArtifacts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save("note", "first")
    write = folders.RunFolder.open_to_write
    monkeypatch.setattr(folders.RunFolder, "open_to_write", lambda place, name: _FullDisk(write(place, name)))

    with pytest.raises(ArtifactError, match="Task 'report': its artifact 'note' was not saved: No space left"):
        kept.save("note", "second")
    assert files_below(folder) == [f"{ID}/note"]
    assert kept.listed()[0].read_text() == "first"


def test_a_body_that_is_stopped_while_it_saves_leaves_nothing(
    kept: RunArtifacts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(artifacts, "_copy", stop)

    with pytest.raises(SystemExit):
        kept.save("note", "text")
    assert files_below(folder) == []


def test_whoever_reads_sees_all_of_it_or_nothing(
    kept: RunArtifacts, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Artifact]] = []
    copy = artifacts._copy

    def look(source: Any, target: Any) -> None:
        copy(source, target)
        seen.append(kept.listed())

    monkeypatch.setattr(artifacts, "_copy", look)
    kept.save("note", "text")

    assert seen == [[]]
    assert names(kept.listed()) == ["note"]


def test_threads_may_save_at_once(kept: RunArtifacts, folder: Path) -> None:
    errors: list[ArtifactError] = []
    start = threading.Barrier(8)

    def save(number: int) -> None:
        start.wait(LIMIT)
        for turn in range(30):
            for name in (f"own {number} {turn // 2}", "shared", "Case" if number % 2 else "case"):
                try:
                    kept.save(name, str(number) * 100_000)
                except ArtifactError as error:
                    errors.append(error)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LIMIT)
    assert not any(thread.is_alive() for thread in threads)

    found = kept.listed()
    assert len(found) == 100
    assert sum(artifact.name.lower() == "case" for artifact in found) == 1
    assert {len(set(artifact.read_text())) for artifact in found} == {1}
    assert {artifact.size for artifact in found} == {100_000}
    assert all("the most" in str(error) or "same name" in str(error) for error in errors)
    assert sorted(files_below(folder / ID)) == names(found)


@posix
def test_no_descriptor_is_left_open(kept: RunArtifacts, folder: Path, tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("counts the descriptors in /proc")

    def opened() -> list[str]:
        """What is open below the folder: other threads, and what is collected, open and close things of their own."""
        links = []
        for descriptor in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it is closed by now
                links.append(os.readlink(descriptor))
        return [link for link in links if Path(link).is_relative_to(tmp_path)]

    kept.save("note", "text")
    with open(kept.listed()[0].path, "rb"):
        assert opened() != []  # it is seen

    for _ in range(20):
        kept.save("note", "text").read_bytes()
        kept.listed()
        with pytest.raises(ArtifactError):
            kept.save("copy", tmp_path)
        with pytest.raises(ArtifactError):
            kept.save("NOTE", "text")
        remove_artifacts(folder, "none")

    assert opened() == []


# Removing them.


def test_the_folder_of_one_run_is_removed_and_no_other(kept: RunArtifacts, folder: Path) -> None:
    kept.save("note", "text")
    RunArtifacts(str(folder), "other", "report").save("note", "text")

    remove_artifacts(folder, ID)
    remove_artifacts(folder, ID)

    assert kept.listed() == []
    assert files_below(folder) == ["other/note"]
    assert not (folder / ID).exists()


def test_removing_where_there_was_never_a_folder_changes_nothing(folder: Path) -> None:
    remove_artifacts(folder, ID)

    assert not folder.exists()


@posix
def test_removing_follows_no_links(kept: RunArtifacts, folder: Path, outside: Path) -> None:
    saved = kept.save("note", "text")
    (saved.path.parent / "link").symlink_to(outside)
    (saved.path.parent / "deep").mkdir()
    (saved.path.parent / "deep" / "link").symlink_to(outside / "note")
    (folder / "run").symlink_to(outside)

    remove_artifacts(folder, ID)
    remove_artifacts(folder, "run")

    assert os.listdir(folder) == []
    assert (outside / "note").read_text() == "not ours"


@posix
def test_what_cannot_be_removed_is_told(kept: RunArtifacts, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    kept.save("note", "text")
    monkeypatch.setattr("shutil.rmtree", refuse)

    with pytest.raises(ArtifactError, match=f"'{ID}' cannot be removed: Permission denied"):
        remove_artifacts(folder, ID)


def test_saving_while_they_are_removed_is_an_error_of_ours_or_none(kept: RunArtifacts, folder: Path) -> None:
    ended = threading.Event()
    errors: list[BaseException] = []

    def save() -> None:
        try:
            for number in range(300):
                with contextlib.suppress(TaskError):
                    kept.save(f"note {number % 50}", "text")
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=save)
    thread.start()
    while not ended.is_set():
        with contextlib.suppress(TaskError):
            remove_artifacts(folder, ID)
    thread.join(LIMIT)

    assert errors == []


# In runs.


def test_a_body_saves_and_its_run_and_the_history_list_it(manager: TaskManager, folder: Path) -> None:
    manager = TaskManager([], clock=manager.clock, artifacts=folder)

    @manager.task
    def report(run: Run) -> int:
        return run.save_artifact("sold.csv", "day,sold\n").size

    manager.run()
    run = report.trigger()

    assert run.result(LIMIT) == 9
    assert [artifact.read_text() for artifact in run.artifacts] == ["day,sold\n"]
    assert manager.runs("report")[0].artifacts == run.artifacts
    assert run.artifacts[0].path == folder / run.id / "sold.csv"


def test_a_row_that_keeps_no_value_lists_them_too(manager: TaskManager, tmp_path: Path) -> None:
    manager = TaskManager([], clock=manager.clock, artifacts=str(tmp_path))

    @manager.task
    def report(run: Run) -> list[int]:
        run.save_artifact("note", "text")
        return [1, 2, 3]

    manager.run()
    run = report.trigger()
    run.wait(LIMIT)
    row = manager.runs("report")[0]

    assert row is not run
    assert names(row.artifacts) == ["note"]


def test_a_direct_call_and_each_run_have_a_folder_of_their_own(manager: TaskManager, tmp_path: Path) -> None:
    manager = TaskManager([], clock=manager.clock, artifacts=tmp_path)

    @manager.task
    def report(run: Run) -> Run:
        run.save_artifact("note", run.id)
        return run

    manager.run()
    first, second = report(), report()  # type: ignore[call-arg]  # the manager fills it in

    assert [first.artifacts[0].read_text(), second.artifacts[0].read_text()] == [first.id, second.id]


def test_without_a_folder_the_error_says_how_to_give_one(manager: TaskManager) -> None:
    @manager.task
    def report(run: Run) -> None:
        run.save_artifact("note", "text")

    manager.run()
    run = report.trigger()
    run.wait(LIMIT)

    assert run.state is RunState.FAILED
    assert "ArtifactError: Task 'report': its run has no folder for artifacts. Give its manager one: " in str(run.error)
    assert 'TaskManager(artifacts="folder")' in str(run.error)
    assert run.artifacts == []


def test_a_run_of_nobody_has_no_artifacts() -> None:
    run = Run("report", "manual", NOON)

    assert run.artifacts == []
    with pytest.raises(ArtifactError, match="no folder for artifacts"):
        run.save_artifact("note", "text")


def test_nothing_is_written_before_something_is_saved(tmp_path: Path) -> None:
    TaskManager([], artifacts=tmp_path / "artifacts")

    assert os.listdir(tmp_path) == []


def test_the_folder_stays_where_it_was_named_when_the_program_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    manager = TaskManager([], artifacts="artifacts")

    @manager.task
    def report(run: Run) -> None:
        run.save_artifact("note", "text")

    monkeypatch.chdir(tmp_path / "elsewhere")
    manager.run()
    assert report.trigger().wait(LIMIT)

    assert len(files_below(tmp_path / "artifacts")) == 1


@pytest.mark.parametrize("wrong", ["", b"folder", 5, "a\0b", True])
def test_a_folder_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ManagerStateError, match="artifacts is the path of a folder, not "):
        TaskManager([], artifacts=wrong)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ManagerStateError, match="is not a folder: name another"):
        TaskManager([], artifacts=tmp_path / "file")


def test_a_body_in_another_process_saves_into_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bodies_that_save.py").write_text(
        "from task import current_run\n"
        "def report():\n"
        "    run = current_run()\n"
        "    run.save_artifact('note', 'from there')\n"
        "    return [artifact.name for artifact in run.artifacts]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    from bodies_that_save import report  # type: ignore[import-not-found]  # written above

    manager = TaskManager([], artifacts=tmp_path / "artifacts")
    declared = manager.add(report, executor="process")
    manager.run()
    run = declared.trigger()

    assert run.result(2 * LIMIT) == ["note"]
    assert [artifact.read_text() for artifact in run.artifacts] == ["from there"]


def test_a_stand_in_on_another_machine_has_no_folder(tmp_path: Path) -> None:
    facts = {"task": "report", "id": ID, "artifacts": ("another machine", str(tmp_path))}
    run = StandIn(facts, lambda message: None)

    assert run.artifacts == []
    with pytest.raises(ArtifactError, match="A body on another machine has none"):
        run.save_artifact("note", "text")
    assert os.listdir(tmp_path) == []


def test_a_program_without_artifacts_loads_nothing_for_them() -> None:
    def loaded(modules: str) -> str:
        program = f"import sys, {modules}; print({{'pathlib', 'shutil', 'unicodedata'}} & sys.modules.keys())"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    assert loaded("task") == loaded("schedule, blinker")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_saves_also_when_a_thread_of_its_parent_was_at_it(kept: RunArtifacts) -> None:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with artifacts._naming:
            taken.set()
            done.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(LIMIT)
    try:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                kept.save("note", "from the child")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join(LIMIT)

    assert [artifact.read_text() for artifact in kept.listed()] == ["from the child"]
