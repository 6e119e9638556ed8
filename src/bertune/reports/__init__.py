"""Reports of runs: pages that open anywhere, written from the files of run folders alone."""
