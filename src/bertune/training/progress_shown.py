"""Whether and where `fit` shows its progress."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bertune.training.history import Observer
from bertune.training.observers import Observers


@contextmanager
def watched_by(observer: Observer | None, verbose: bool | None) -> Iterator[Observer | None]:
    """Gives an observer that shows progress, if wanted, and then tells the one given.

    Args:
        observer: given by the caller of `fit`; told after the progress was shown.
        verbose: None shows progress in a notebook and on a terminal, unless an observer is given.
    """
    from bertune.training.notebook_progress import NotebookProgress, in_notebook

    notebook = in_notebook()
    if verbose is None:
        verbose = observer is None and (notebook or (sys.stderr is not None and sys.stderr.isatty()))
    if not verbose:
        yield observer
    elif notebook:
        yield Observers((NotebookProgress(), observer))
    else:
        from bertune.training.training_progress import TrainingProgress

        with TrainingProgress() as progress:
            yield Observers((progress, observer))
