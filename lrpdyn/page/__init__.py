"""One page that tells the story of a run: its data, and apart from it the HTML."""
