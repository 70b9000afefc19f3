"""A command line as a task: pack a folder every night, and look into each archive before it counts.

    python examples/shell_task.py

The folder and the archives are made in a temporary place; two runs by hand show what comes of a good night
and of a bad one. The program ends by itself.
"""

import datetime
import tarfile
import tempfile
from pathlib import Path

from task import CommandError, Run, TaskManager, every, shell

# The name of the archive is decided when the command runs: a parameter reaches it as an environment variable.
# Quotes around "$…" keep whatever is in it one word. `set -e` ends it at the first command that fails.
PACK = """
set -e
partial="$ARCHIVES/.partial"
tar -czvf "$partial" -C "$TASK_PARAMETER_FOLDER" .
tar -tzf "$partial" > /dev/null
mv "$partial" "$ARCHIVES/$TASK_PARAMETER_NAME.tar.gz"
"""


def tell(run: Run) -> None:
    """Where a mail or a page to the operator would go out."""
    print(f"  {run.task} {run.state}: {run.error}")


def show(run: Run) -> None:
    """What the command wrote, line by line, as the run keeps it."""
    for line in run.log:
        print(f"  {line.logger}: {line.message}")


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        documents, archives = Path(place, "documents"), Path(place, "archives")
        documents.mkdir()
        archives.mkdir()
        (documents / "orders.txt").write_text("tea\ncoffee\n")

        manager = TaskManager([])
        manager.add(
            shell(PACK, shell=True, env={"ARCHIVES": archives}, timeout=600),
            every().day.at("02:00"),
            name="pack",
            parameters={"folder": str(documents), "name": "nightly"},
            threaded=True,
            on_failed=tell,
        )
        with manager:
            print("A good night:")
            run = manager["pack"].trigger(name=f"documents-{datetime.date.today()}")
            result = run.result(timeout=10)
            show(run)
            print(f"  packed in {result.duration:.2f} seconds")
            for archive in archives.glob("*.tar.gz"):
                with tarfile.open(archive) as packed:
                    print(f"  {archive.name} has {sorted(packed.getnames())}")

            print("A bad night:")
            run = manager["pack"].trigger(folder=str(documents / "missing"))
            try:
                run.result(timeout=10)
            except CommandError as error:
                print(f"  what a caller gets: {' '.join(str(error).splitlines())}")


if __name__ == "__main__":
    main()
