"""Golden runs: the shipped one is what it should be, and one to look into."""
