"""Tracing: what a network does becomes a graph, and what torch does in one call is spelled out."""
