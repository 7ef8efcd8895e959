"""The drawings, one file for each."""
