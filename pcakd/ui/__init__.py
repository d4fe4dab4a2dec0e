"""The page in the browser, `pcakd ui`: see a style, tune it, compare models, hand the setting over.

options.py     what the command is told
guard.py       who may ask at all: host, origin, token, password, size
lane.py        one thread that heavy work waits for, in order
kept.py        uploads, in a temporary folder that goes with the page
gallery.py     photos of a folder or bucket, and the examples
setting.py     what is asked for: photos, knobs, masks, model
studio.py      a setting → a picture at screen size, a file at full size, a table of colours
full.py        files at full size, made while the page asks how far they are
handover.py    a setting as a command line, a Python snippet, a job file
compare.py     two models on the same pairs, and the votes
services.py    what the pipeline adds where it is installed
routes.py      addresses → the above
serve.py       the server on its socket
page.html.j2, static/    the page: plain HTML, CSS and JavaScript, nothing from elsewhere
"""
