"""Pictures of relevance over training: plain arrays in, one file out."""

from lrpdyn.figures.distribution import Population, draw_distribution
from lrpdyn.figures.filmstrip import draw_filmstrip
from lrpdyn.figures.heatmap import draw_heatmap

__all__ = ["Population", "draw_distribution", "draw_filmstrip", "draw_heatmap"]
