"""Tasks in a Flask application: the extension, an API and live pages. Needs the extra ``flask``."""

from task.errors import MissingExtraError

try:
    import flask as _flask  # noqa: F401 - only whether it is there
    import msgspec as _msgspec  # noqa: F401
except ImportError as error:
    raise MissingExtraError.of("flask", "task.flask") from error

from task.flask.access import Access, allow_anyone, allow_local
from task.flask.extension import FlaskTasks

__all__ = ["Access", "FlaskTasks", "allow_anyone", "allow_local"]
