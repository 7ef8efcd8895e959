"""From which support of a score on it is called weak; loads nothing, as the causes that use it."""

from __future__ import annotations

#: A score is carried by next to nothing where the denominator at the last layer is this share of it.
UNSTABLE_SUPPORT = 0.01
#: Support below which a negative score under z-plus is called weak.
WEAK_SUPPORT = 0.1
