"""One network that many checkpoints are loaded into, and its relevance at each."""
