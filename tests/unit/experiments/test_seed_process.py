"""The process of one seed: what ends it is told."""

import subprocess
import sys


def served(before: str = "") -> subprocess.CompletedProcess[bytes]:
    code = f"import bertune.experiments.seed_process as seed_process\n{before}\nseed_process.serve()"
    return subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True)


def test_without_a_parent_it_ends_in_silence() -> None:
    done = served()
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


def test_a_failure_that_cannot_be_sent_is_printed() -> None:
    done = served("def fail(): raise MemoryError('for the threads')\nseed_process._train_and_answer = fail")
    assert done.returncode == 1
    assert b"MemoryError: for the threads" in done.stderr
