"""Looks: the student decides on a small copy of a photo, a grid of colour maps carries it to any size.

look      what a style does to one photo or a series: `Look`
fit       from a small photo and its result to the grid, in closed form
slicing   a photo through a grid, and `kernel`, the same compiled
files     grid files, .cube, HaldCLUT
"""
