"""The run folder: its layout, manifest, journal, tables and reader; no torch."""
