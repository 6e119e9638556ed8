"""A process that answers pairs one by one or all at once: bertune inside the process, or transformers' pipeline.

    python -m benchmarks.answer_worker bertune FOLDER PAIRS.json
    python benchmarks/answer_worker.py transformers MODEL PAIRS.json

For each line of standard input, `single N` or `batch`, it prints the seconds that it took as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

Pairs = list[tuple[str, str]]


def bertune_answers(folder: Path, stack: ExitStack) -> Callable[[Pairs], object]:
    """What `bertune serve` does of a request, without the server."""
    from bertune.data.examples import Examples
    from bertune.evaluation.labelled_rows import TextRows
    from bertune.evaluation.predictions import predictions_by
    from bertune.serving.open_model import open_model

    predictor = stack.enter_context(open_model("model", folder).opened())

    def answer(pairs: Pairs) -> object:
        rows = TextRows(Examples.from_lists([a for a, _ in pairs], [b for _, b in pairs]))
        return list(predictions_by(predictor, rows))

    return answer


def pipeline_answers(model: Path, _stack: ExitStack) -> Callable[[Pairs], object]:
    """Transformers' pipeline, in batches of 32."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    pipeline = transformers.pipeline("text-classification", str(model), device="cpu", top_k=None)
    return lambda pairs: pipeline([{"text": a, "text_pair": b} for a, b in pairs], batch_size=32, truncation=True)


def main() -> None:
    system, folder, pairs_file = sys.argv[1:]
    pairs: Pairs = [(a, b) for a, b in json.loads(Path(pairs_file).read_text())]
    with ExitStack() as stack:
        answer = (bertune_answers if system == "bertune" else pipeline_answers)(Path(folder), stack)
        for number in range(20):
            answer([pairs[number % len(pairs)]])
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            what, *count = line.split()
            seconds = []
            work = [pairs] if what == "batch" else [[pairs[n % len(pairs)]] for n in range(int(count[0]))]
            for each in work:
                begun = time.perf_counter()
                answer(each)
                seconds.append(time.perf_counter() - begun)
            print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
