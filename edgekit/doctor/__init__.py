"""Look over a machine: what is installed, what is missing, and how to mend it."""

from __future__ import annotations

from edgekit.doctor.examination import examine, examine_provider
from edgekit.doctor.report import Report

__all__ = ["Report", "examine", "examine_provider"]
