"""The kinds of figures, one file each: what it shows of a run."""
