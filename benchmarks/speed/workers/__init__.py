"""One script a system, run by the Python of its environment: `python -m benchmarks.speed.workers.NAME FOLDER …`."""
