"""The tests of lrpdyn, a package of its own: others that are installed are called so, too."""
