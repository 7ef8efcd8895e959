"""Networks of each framework, one file for each family."""
