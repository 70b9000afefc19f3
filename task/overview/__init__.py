"""What people see of a manager, whichever way: cards of tasks, problems, slots to come, timelines."""

from task.overview.durations import duration_text
from task.overview.overview import Overview
from task.overview.values import (
    Bar,
    Cell,
    Lane,
    Outcome,
    Point,
    Problem,
    ScheduleText,
    TaskCard,
    TaskPage,
    Timeline,
    Upcoming,
)

__all__ = [
    "Bar",
    "Cell",
    "Lane",
    "Outcome",
    "Overview",
    "Point",
    "Problem",
    "ScheduleText",
    "TaskCard",
    "TaskPage",
    "Timeline",
    "Upcoming",
    "duration_text",
]
