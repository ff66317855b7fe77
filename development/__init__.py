"""What dev.py does: makes the environment of a fresh checkout and runs the project's checks in it.

Rule: the standard library only; nothing of flowguardian is imported, because it is not installed yet.
"""
