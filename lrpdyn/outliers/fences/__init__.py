"""Statistics of one list of values: fences, trends, shifts and tails."""
