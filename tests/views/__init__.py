"""Views against real servers from the wheels, skipped with a reason where there is no wheel."""
