"""Arithmetic of the dynamics: measures of maps and the sums over steps; no torch."""
