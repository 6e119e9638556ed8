"""The machine: atomic files, locks, processors, feature switches, and plain file formats."""
