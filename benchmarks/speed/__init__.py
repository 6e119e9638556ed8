"""Speed, beside other systems: one fixed workload, one long-lived process a system, rounds that take turns.

python -m benchmarks.speed --help
"""
