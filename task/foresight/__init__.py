"""The days to come, before they come: a forecast, what a change moves, and why a slot runs or does not."""

from task.foresight.comparison import Comparison, OptionChange, TaskChange, compare
from task.foresight.cures import Cure, cures
from task.foresight.differences import comparison_text
from task.foresight.explaining import explain
from task.foresight.forecasting import forecast
from task.foresight.moves import Moves, Shift
from task.foresight.page import to_html
from task.foresight.reasons import Explanation, Reason
from task.foresight.terminal import heat_map
from task.foresight.values import Collision, Forecast, Hour, Night, PlaceForecast, PredictedRun, TaskForecast
from task.foresight.vector import to_svg

__all__ = [
    "Collision",
    "Comparison",
    "Cure",
    "Explanation",
    "Forecast",
    "Hour",
    "Moves",
    "Night",
    "OptionChange",
    "PlaceForecast",
    "PredictedRun",
    "Reason",
    "Shift",
    "TaskChange",
    "TaskForecast",
    "compare",
    "comparison_text",
    "cures",
    "explain",
    "forecast",
    "heat_map",
    "to_html",
    "to_svg",
]
