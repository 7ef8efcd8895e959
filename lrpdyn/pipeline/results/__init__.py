"""From explained steps to the files of a finished run."""
