"""What is wrong with tasks, told once: incidents, ``notify=``, and a heartbeat for somebody outside."""

from task.alerts.alerts import Alerts
from task.alerts.heartbeat import check_heartbeat
from task.alerts.rules import longest_usual

__all__ = ["Alerts", "check_heartbeat", "longest_usual"]
