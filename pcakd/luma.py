"""What brightness is."""

REC_601 = (0.299, 0.587, 0.114)
"""Of red, green and blue, as JPEG has it."""
