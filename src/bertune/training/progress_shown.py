"""Whether and where `fit` shows its progress."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bertune.training.callback import Callback, Callbacks


@contextmanager
def watched_by(callbacks: Iterable[Callback], verbose: bool | None) -> Iterator[Callback]:
    """Gives a callback that shows progress, if wanted, and then tells those given.

    Args:
        callbacks: told after the progress was shown.
        verbose: None shows progress in a notebook and on a terminal.
    """
    from bertune.training.notebook_progress import NotebookProgress, in_notebook

    notebook = in_notebook()
    if verbose is None:
        verbose = notebook or (sys.stderr is not None and sys.stderr.isatty())
    if not verbose:
        yield Callbacks(callbacks)
    elif notebook:
        yield Callbacks((NotebookProgress(), *callbacks))
    else:
        from bertune.training.training_progress import TrainingProgress

        with TrainingProgress() as progress:
            yield Callbacks((progress, *callbacks))
