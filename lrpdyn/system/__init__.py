"""The machine: memory, processes, signals and time."""
