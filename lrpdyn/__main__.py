"""``python -m lrpdyn``."""

from lrpdyn.cli.main import main

main()
