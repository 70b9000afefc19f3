"""``python -m task``, and the console script ``schedule-tasks``."""

import sys

from task.errors import MissingExtraError

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the extra ``cli``, say how to install it."""
    try:
        from task.cli.main import main as command_line
    except MissingExtraError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    command_line()


if __name__ == "__main__":
    main()
