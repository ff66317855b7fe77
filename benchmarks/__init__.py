"""What the engine costs, measured on the common work of the field: `python -m benchmarks all`."""
