"""Outliers of the dynamics: which, how far out, and why."""
