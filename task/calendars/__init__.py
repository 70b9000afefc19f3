"""When not: the conditions of a task's ``only_if``, with those of business days and business hours."""

from task.calendars.business_days import BusinessDays, business_days
from task.calendars.business_hours import BusinessHours, business_hours
from task.calendars.conditions import Condition, check_conditions, refusal

__all__ = [
    "BusinessDays",
    "BusinessHours",
    "Condition",
    "business_days",
    "business_hours",
    "check_conditions",
    "refusal",
]
