"""Clips in a style: a shot has one look, held or slowly changing, so that nothing flickers.

course     looks over time: which a frame goes through
plan       the first pass: shots, and the course of each
run        the second pass: frames through their looks, into a file or to whoever asks
"""
