"""Writes the pages of docs/ that follow from the source, and the output that pages quote.

Rule: unlike the modules beside this folder these need the installed project, so dev.py never imports them.
`python -m development.pages` writes everything; tests/docs demands that it is current.
"""
