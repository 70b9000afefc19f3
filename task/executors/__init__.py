"""Where bodies run: the serial worker, a pool of threads, and the event loop.

All of it on daemon threads of our own. The standard library's pools are joined at exit, so that a
hung body hangs the interpreter, and cannot replace a hung thread.
"""

from task.executors.event_loop import EventLoop, task_on
from task.executors.executors import Executors
from task.executors.gate import Gate
from task.executors.pools import REPLACEMENTS, Backlog, Executor, ThreadPool, Work

__all__ = ["REPLACEMENTS", "Backlog", "EventLoop", "Executor", "Executors", "Gate", "ThreadPool", "Work", "task_on"]
