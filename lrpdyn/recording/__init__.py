"""Plays a policy in its own environment and records what its network was given and gave."""
