"""Pictures of relevance over training: plain arrays in, one file out."""
