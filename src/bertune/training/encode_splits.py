"""The rows of a run as token ids, and what the audit learns from them."""

from collections.abc import Callable

from bertune.audit.audit import Audit, warning_lines
from bertune.audit.token_figures import TokenFigures
from bertune.batches.dataset import Dataset
from bertune.data.examples import Examples, Task
from bertune.shards.store_cache import encode_cached
from bertune.tokenization.encoded_examples import EncodedExamples
from bertune.tokenization.long_texts import LongTexts
from bertune.tokenization.token_scan import TokenScan
from bertune.tokenization.tokenizer_protocol import Tokenizer
from bertune.training.run_settings import RunSettings


def encoded_by(examples: Examples, tokenizer: Tokenizer, settings: RunSettings) -> tuple[EncodedExamples, bool]:
    """Encodes rows as a run's settings say; see `encode_cached`.

    Returns:
        The token ids, and whether an earlier run had encoded them.
    """
    return encode_cached(
        examples.texts_a,
        examples.texts_b,
        tokenizer,
        settings.max_length,
        long_text=settings.long_text,
        window_stride=settings.window_stride,
    )


def encode_splits(
    splits: dict[str, Examples],
    task: Task,
    audit: Audit,
    tokenizer: Tokenizer,
    settings: RunSettings,
    say: Callable[[str], None],
    *,
    verbose: bool,
) -> dict[str, Dataset]:
    """Encodes the splits of a run, and adds what their tokens are to the audit.

    Args:
        splits: by name.
        task: by which their targets are read.
        audit: of the data.
        tokenizer: of the model.
        settings: how long an example may be, and what becomes of longer ones.
        say: told what is worth a line.
        verbose: tell more.
    """
    datasets = {}
    for name, examples in splits.items():
        encoded, is_found = encoded_by(examples, tokenizer, settings)
        datasets[name] = Dataset(encoded, examples.targets_for(task.kind, task.labels, task.target_range))
        figures = _token_figures(examples, encoded, tokenizer, settings)
        findings = audit.add_tokens(name, figures)
        long_texts = LongTexts.of(encoded, settings.long_text)
        if verbose:
            say(_tokens_line(name, encoded, long_texts) + (" (encoded by an earlier run)" if is_found else ""))
            for line in figures.lines():
                say(line)
        elif long_texts.over_length:
            say(f"{name}: {long_texts.summary()}")
        for line in warning_lines(findings, verbose=verbose):
            say(line)
    return datasets


def _tokens_line(name: str, encoded: EncodedExamples, long_texts: LongTexts) -> str:
    tokens = int(encoded.offsets[-1])
    return f"{name}: {tokens:,} tokens, {tokens / len(encoded):.1f} an example, {long_texts.summary()}"


def _token_figures(
    examples: Examples, encoded: EncodedExamples, tokenizer: Tokenizer, settings: RunSettings
) -> TokenFigures:
    """Counts lengths and unknown words."""
    scan = TokenScan(tokenizer, settings.max_length, loses_tokens=settings.long_text != "windows")
    scan.add_encoded(examples, encoded)
    return scan.figures()
