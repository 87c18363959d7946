"""Is a reward model fit to be measured? Checks of a resolved model through the interface that every adapter has."""

from harness.doctor.examine import examine
from harness.doctor.finding import Examination, Finding

__all__ = ["Examination", "Finding", "examine"]
