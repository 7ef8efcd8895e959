"""The drawings, one file for each.

In each, `draw` makes a picture of runs, and `draw_NAME` of plain arrays. `path` is where that goes (.png,
.svg or .pdf; a film .gif, .webp or .apng), replaced whole; `about` has the words of the header, `look` the
colours and the pixels to the inch.
"""
