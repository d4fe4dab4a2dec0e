"""Clips: read frame by frame, cut into shots, written with all that they came with. Needs the extra `video`.

options    what a user may choose
clip       a file opened and looked at: streams, colours, rotation; its frames in order
colours    frame ↔ RGB, by the clip's own matrix and range
shots      where a shot ends
codecs     which encoder writes what, how well
segments   a stretch of frames → packets, by an encoder of its own
mux        packets, and everything that is copied, into a file that appears whole
"""
