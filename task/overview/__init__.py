"""What people see of a manager, whichever way: cards of tasks, problems, slots to come, timelines."""

from task.overview.declared import Option, ParameterText, after_of, options_of, parameters_of, place_in
from task.overview.delays import Delay, cure_of, delays_text, is_late, shares_of, started_text
from task.overview.durations import duration_text
from task.overview.overview import Overview
from task.overview.slots import clock_change, local_text
from task.overview.texts import moment_text, text_of, zone_of
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
    "Delay",
    "Lane",
    "Option",
    "Outcome",
    "Overview",
    "ParameterText",
    "Point",
    "Problem",
    "ScheduleText",
    "TaskCard",
    "TaskPage",
    "Timeline",
    "Upcoming",
    "after_of",
    "clock_change",
    "cure_of",
    "delays_text",
    "duration_text",
    "is_late",
    "local_text",
    "moment_text",
    "options_of",
    "parameters_of",
    "place_in",
    "shares_of",
    "started_text",
    "text_of",
    "zone_of",
]
