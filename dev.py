"""Sets this repository up and runs it, on a machine that has nothing but Python.

    python3 dev.py quickstart [ARGUMENT ...]    runs examples/quickstart.py
    python3 dev.py check [STEP ...]             runs all the checks, or only the named ones

It exists so that each of the two is one line, whatever the system's Python allows: everything is
installed into `.venv` beside this file, which is made when it is missing, half-made or stale, also where
`python3 -m venv` cannot put pip into it. It needs the standard library only.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

OLDEST = (3, 11)
if sys.version_info < OLDEST:  # up here: an older Python can read this file, but not execute what follows
    FOUND = ".".join(map(str, sys.version_info[:3]))
    sys.exit(f"task needs Python 3.11 or newer; this is Python {FOUND}, {sys.executable}.")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

#: Exists while `.venv` is being written: found at the start, it tells of an interruption.
UNFINISHED = VENV / ".unfinished"

#: What each command has pip install, and the files that say what that is.
NEEDS = {"quickstart": ("--requirement", "requirements.txt"), "check": ("--editable", ".[dev]")}
SAID_IN = ("setup.cfg", "pyproject.toml", "requirements.txt")
PIP_QUIETLY = ("--quiet", "--disable-pip-version-check")

Step = Callable[[], int]


def main(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["quickstart"]:
            return quickstart(arguments[1:])
        if arguments[:1] == ["check"]:
            return check(arguments[1:])
    except KeyboardInterrupt:
        return fail("interrupted", 130)
    print(__doc__)
    return 0 if arguments in (["-h"], ["--help"]) else 2


def quickstart(arguments: list[str]) -> int:
    """Run the quick start in this terminal, with the core's libraries and nothing else."""
    code = install("quickstart")
    if code:
        return code
    command = [str(PYTHON), str(ROOT / "examples" / "quickstart.py"), *arguments]
    importing = {**environment(), "PYTHONPATH": str(ROOT)}
    if os.name == "posix":
        os.execve(command[0], command, importing)  # its signals and its exit code are then its own
    return subprocess.call(command, env=importing)


def check(names: list[str]) -> int:
    """Run the steps of these names, or all; stop at the first that fails, with its exit code."""
    steps: dict[str, Step] = {
        "ruff": lambda: python("-m", "ruff", "check", "."),
        "format": lambda: python("-m", "ruff", "format", "--check", "."),
        "mypy": lambda: python("-m", "mypy", "--strict"),
        "pytest": lambda: python("-m", "pytest", "-n", "4", "--dist", "worksteal"),  # many wait for processes
        "docs": lambda: python("-m", "sphinx", "-WEq", "--keep-going", "docs", "build/docs"),
        "package": package,
    }
    # Only by name: counting lines makes the tests take a third longer.
    named: dict[str, Step] = {"coverage": lambda: python("-m", "pytest", "-n", "4", "--cov", "--cov-branch")}
    known = {**steps, **named}
    unknown = [name for name in names if name not in known]
    if unknown:
        return fail(f"no step is called {', '.join(unknown)}; the steps are {', '.join(known)}.", 2)
    chosen = {name: step for name, step in known.items() if name in names} if names else steps
    for name, step in {"set-up": lambda: install("check"), **chosen}.items():
        say(f"== {name}")
        began = time.monotonic()
        code = step()
        say(f"== {name}: {'failed' if code else 'passed'} in {time.monotonic() - began:.1f} s\n")
        if code:
            return code
    say("all checks passed" if chosen is steps else f"passed: {', '.join(chosen)}")
    return 0


def package() -> int:
    """Build sdist and wheel; the wheel holds all of `task` with its assets, the plugin for pytest, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        built = ask(PYTHON, "-m", "build", "--outdir", folder, ".")
        if built.returncode:
            return fail(built.stdout, built.returncode)
        (wheel,) = Path(folder).glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
    files = (path for path in (ROOT / "task").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    wanted = {"task_pytest.py", *(path.relative_to(ROOT).as_posix() for path in files)}
    left_out = sorted(wanted - set(names))
    ours = ("task/", "task_pytest.py")
    strays = [name for name in names if not name.startswith(ours) and ".dist-info/" not in name]
    if strays or left_out:
        return fail(f"{wheel.name} must hold all of task, and only that; strays: {strays}; left out: {left_out}")
    say(f"{wheel.name}: {len(names)} files")
    return 0


def install(command: str) -> int:
    """Have a sound `.venv` and what this command needs in it; do nothing when both are there."""
    if UNFINISHED.exists() or not sound():
        code = make_venv()
        if code:
            return code
    installed = VENV / f".installed-for-{command}"
    wanted = "\n".join([str(ROOT), *((ROOT / name).read_text("utf-8") for name in SAID_IN)])
    if installed.exists() and installed.read_text("utf-8") == wanted:
        return 0
    say("installing into .venv")
    UNFINISHED.touch()
    done = ask(PYTHON, "-m", "pip", "install", *PIP_QUIETLY, *NEEDS[command])
    if done.returncode:
        return fail(done.stdout, done.returncode)
    installed.write_text(wanted, "utf-8")
    UNFINISHED.unlink()
    return 0


def sound() -> bool:
    """Tell whether `.venv` starts, is of the Python that runs this file, and has a pip."""
    if not PYTHON.exists():
        return False
    question = f"import sys, pip; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    return ask(PYTHON, "-c", question).returncode == 0


def make_venv() -> int:
    """Make `.venv` anew, by the first way that this machine has."""
    say("making .venv")
    base: str = getattr(sys, "_base_executable", sys.executable)  # not one that is about to be deleted
    bare = (base, "-m", "venv", "--without-pip", VENV)
    ways: tuple[tuple[tuple[str | Path, ...], ...], ...] = (
        ((base, "-m", "venv", VENV),),
        # Debian without python3-venv: venv is there, ensurepip is not. A pip outside can do its work.
        (bare, (base, "-m", "pip", "--python", PYTHON, "install", *PIP_QUIETLY, "pip")),
    )
    answers = ""
    for way in ways:
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        UNFINISHED.touch()
        for command in way:
            answers += ask(*command).stdout
        if sound():
            return 0
    shutil.rmtree(VENV, ignore_errors=True)
    return fail(
        f"{answers}\n{base} could make no virtual environment:\n"
        "neither with ensurepip nor with a pip (22.3 or newer) of its own. Install one of them and\n"
        "try again; on Debian and Ubuntu: sudo apt install python3-venv"
    )


def python(*arguments: str) -> int:
    """Run the Python of `.venv` in the repository, in this terminal."""
    return subprocess.call([PYTHON, *arguments], cwd=ROOT, env=environment())


def ask(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository and keep what it says."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


def environment() -> dict[str, str]:
    """Give this process's environment without what would lead Python or pip out of `.venv`."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    return {**kept, "PIP_USER": "0"}


def say(text: str) -> None:
    print(text, flush=True)


def fail(text: str, code: int = 1) -> int:
    print(text, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
