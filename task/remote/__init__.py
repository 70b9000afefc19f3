"""Bodies that run in another process: in one of their own, in a pool's, or on a cluster."""

from task.remote.encoding import BodyReference
from task.remote.foreign import ForeignBody
from task.remote.process import ProcessBody
from task.remote.rooms import body_for

__all__ = ["BodyReference", "ForeignBody", "ProcessBody", "body_for"]
