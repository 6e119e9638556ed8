"""Several runs: seeds, averages, sweeps."""
