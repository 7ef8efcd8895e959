"""What is in a folder of checkpoints, in which order, and how its weights are read."""
