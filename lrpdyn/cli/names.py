"""The names of the commands, by what they are for."""

GROUPS = {
    "Explain a training": ("demo", "record", "regions", "compute", "merge"),
    "Look at a run": ("plot", "outliers", "report", "compare", "export"),
    "Check": ("inspect", "verify"),
    "What there is": ("rules", "architectures", "help"),
}
COMMANDS = tuple(name for names in GROUPS.values() for name in names)
