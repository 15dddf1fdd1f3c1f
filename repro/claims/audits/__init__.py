"""One audit function per claim, grouped as the notebooks are."""
