"""What stands out in the dynamics, how far, and why."""
