"""A worker that only counts, for the tests of the harness."""

from benchmarks.speed.slices import Slices

slices = Slices()

import argparse


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--fail-at", type=int)
    options = parser.parse_args()
    slices.ready()
    slices.wait()
    for step in range(1, 1000):
        print("chatter")
        if step == options.fail_at:
            raise ValueError(f"step {step}")
        slices.step_done(10, 100, lambda: float(step))  # noqa: B023 (called at once)


if __name__ == "__main__":
    main()
