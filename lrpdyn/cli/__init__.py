"""The command line: resolve arguments, call the library, print."""
