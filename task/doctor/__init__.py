"""What goes wrong where Python programs are hosted, found before it hurts; with the cure."""

from task.doctor.examining import diagnose, is_well
from task.doctor.values import Diagnosis, State

__all__ = ["Diagnosis", "State", "diagnose", "is_well"]
