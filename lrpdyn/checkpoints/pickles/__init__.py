"""Pickles are followed instruction by instruction and never run."""
