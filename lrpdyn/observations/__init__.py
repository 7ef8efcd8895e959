"""Observations: from files to one checked array as the network takes it."""
