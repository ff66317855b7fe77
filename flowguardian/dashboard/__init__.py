"""The page to look at while a run goes on: a process of its own that reads the run's files.

Rule: it stays outside trading. It reads journal, ops journal and tape, read only and in short steps, and
writes nothing but operator commands, by the door everybody uses (`ops/commands.py`). What it shows comes
from the answers of `status`, `why` and `explain`; it has no truth of its own.
"""
