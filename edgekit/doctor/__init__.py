"""Look over a machine: what is installed, what is missing, and how to mend it."""

from __future__ import annotations

from edgekit.doctor.examination import examine
from edgekit.doctor.report import Report

__all__ = ["Report", "examine"]
