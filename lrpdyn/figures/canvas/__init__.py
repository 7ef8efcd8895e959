"""What all drawings share: layout, style, maps, words and saving."""
