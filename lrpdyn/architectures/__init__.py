"""Networks that weights can be loaded into: the registry, and those that ship with lrpdyn."""
