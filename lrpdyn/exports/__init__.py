"""A run in the formats of other programs, written step by step."""
