"""What only a loaded network can tell about a step; the outlier report reads it as plain data."""
