"""What a body is given: the caller's parameters, checked, and the services that it names by their types."""

from task.injection.parameters import Parameters
from task.injection.plan import InjectionPlan
from task.injection.services import Scope, Services, can_be_provided

__all__ = ["InjectionPlan", "Parameters", "Scope", "Services", "can_be_provided"]
