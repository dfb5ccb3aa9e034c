"""A group's moves between two real OpenStack control planes: ten cycles (cycles.py), a lost site (unplanned.py)."""
