"""The size of the stabiliser, apart from the rules so that it is known without torch."""

#: Denominators are stabilised by at most so much; it is the default of `epsilon`, too.
STABILISER = 1e-6
