"""A task as a class: back up a folder, file by file, with progress, by schedule and by hand.

    python examples/class_based.py

It makes a folder with a few files of its own and ends by itself after three seconds. On the way you see a
backup by the schedule, one by hand that goes to another place, and one that is cancelled and cleans up.
"""

import shutil
import tempfile
import time
from pathlib import Path

from task import BaseTask, Run, RunCancelled, TaskManager, every


class BackupTask(BaseTask):
    """Copy the files of a folder; the copy has its name only once it is whole."""

    source: Path
    target: Path
    #: How long to rest after each file, so that the disk has time for others. Seconds.
    rest: float = 0.0

    def execute(self) -> int:
        """How many files were copied."""
        # The copy of the template that this run has: what is set on it ends with the run.
        self.partial = self.target.with_name(f"{self.target.name}-{self.id}.part")
        try:
            count = self.copy_files()
            shutil.rmtree(self.target, ignore_errors=True)
            self.partial.rename(self.target)
        finally:
            shutil.rmtree(self.partial, ignore_errors=True)
        self.logger.info("%d files from %s", count, self.source)
        return count

    def copy_files(self) -> int:
        """Copy one file after another, and look up in between."""
        files = sorted(path for path in self.source.rglob("*") if path.is_file())
        self.partial.mkdir(parents=True)
        for done, path in enumerate(files, start=1):
            self.check_cancelled()  # raises RunCancelled when somebody has asked to stop
            copied = self.partial / path.relative_to(self.source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copied)
            self.update_progress(100 * done / len(files), path.name)
            time.sleep(self.rest)
        return len(files)


def make_files(folder: Path, count: int = 10) -> Path:
    """A folder with something in it."""
    folder.mkdir()
    for number in range(1, count + 1):
        (folder / f"page-{number:02}.txt").write_text(f"This is page {number}.\n")
    return folder


def tell(run: Run) -> None:
    """One line for each run."""
    print(f"{run.trigger:<9} {run.state:<10} {run.progress or 0:>3.0f} %  {run.message}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manager = TaskManager([])
        template = BackupTask(make_files(folder / "data"), folder / "nightly")
        # Every second, for the demonstration; every().day.at("02:00") in earnest.
        backup = manager.add(template, every(1).seconds, threaded=True, max_runs=1)
        manager.run()
        while not (by_schedule := manager.runs("BackupTask", "succeeded")):
            time.sleep(0.1)
        tell(by_schedule[0])

        # By hand: a parameter that names a field replaces it, for this run.
        run = backup.trigger(target=folder / "by-hand")
        copied = run.result(timeout=10)
        tell(run)
        print(f"          {copied} files by hand; the template's target is still {template.target.name!r}")

        slow = backup.trigger(target=folder / "never", rest=0.5)
        while not slow.progress:
            time.sleep(0.1)
        slow.cancel()
        try:
            slow.result(timeout=10)
        except RunCancelled:
            tell(slow)
            print(f"          cancelled; there are {sorted(path.name for path in folder.iterdir())}")
        manager.stop()


if __name__ == "__main__":
    main()
