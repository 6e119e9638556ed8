"""What is run on both commits: every verb, on every kind of task, with both engines.

Each step is a command line in a process of its own, in a folder that holds `inputs` and `out`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A command.

    Args:
        name: of the step; its output is kept under it.
        command: of bertune, words with blanks between them.
        environment: variables that it is run with, beside those of all.
        stdin: what it reads from standard input.
        code: which it must end with.
    """

    name: str
    command: str
    environment: tuple[tuple[str, str], ...] = ()
    stdin: str = ""
    code: int = 0


TORCH = (("BERTUNE_WITHOUT", "kernels"),)
BRIEF = "--epochs 2 --batch-size 16 --max-length 32 --learning-rate 1e-3 --seed 3"
MODEL = "--model inputs/encoder"
SINGLE = "--data inputs/single --text-a first --label mood"
PAIRS = "--data inputs/pairs --text-a first --text-b second --label same"
DEMO = "--epochs 1 --max-length 64 --seed 5"

STEPS = (
    # The main job with real weights, by the compiled kernels and by torch's operators.
    Step("demo", f"train --data inputs/demo --text-a question1 --text-b question2 --label label {DEMO} --out out/demo"),
    Step(
        "demo-torch",
        f"train --data inputs/demo --text-a question1 --text-b question2 --label label {DEMO} --out out/demo-torch",
        TORCH,
    ),
    # Kinds of task, pooling, long texts, recipes.
    Step("single", f"train {SINGLE} {MODEL} {BRIEF} --threshold auto --test inputs/single/test.csv --out out/single"),
    Step("single-torch", f"train {SINGLE} {MODEL} {BRIEF} --out out/single-torch", TORCH),
    Step("pairs", f"train {PAIRS} {MODEL} {BRIEF} --recipe lesson --tensorboard --out out/pairs"),
    Step("mean", f"train {SINGLE} {MODEL} {BRIEF} --pooling mean --class-weights balanced --out out/mean"),
    Step("auto", f"train {SINGLE} {MODEL} --max-length 32 --epochs 2 --out out/auto"),
    Step("stable", f"train {SINGLE} {MODEL} --recipe stable --epochs 2 --max-length 32 --out out/stable"),
    Step("bf16", f"train {SINGLE} {MODEL} {BRIEF} --precision bf16 --out out/bf16"),
    Step(
        "several",
        f"train --data inputs/several --kind multi-label --text-a text --label labels {MODEL} {BRIEF} "
        "--threshold auto --out out/several",
    ),
    Step(
        "values",
        f"train --data inputs/values --kind regression --text-a text --label target {MODEL} {BRIEF} "
        "--target-range 0 2 --out out/values",
    ),
    Step(
        "windows",
        f"train --data inputs/long --text-a text --label mood {MODEL} {BRIEF} --long-text windows "
        "--window-stride 20 --out out/windows",
    ),
    Step(
        "head-tail",
        f"train --data inputs/long --text-a text --label mood {MODEL} {BRIEF} --long-text head-tail "
        "--out out/head-tail",
    ),
    Step(
        "held-out", f"train --data inputs/single/train.csv --text-a first --label mood {MODEL} {BRIEF} --out out/held"
    ),
    # Many runs.
    Step("seeds", f"train {SINGLE} {MODEL} {BRIEF} --seeds 2 --json --out out/seeds"),
    Step(
        "sweep",
        f"sweep {SINGLE} {MODEL} --max-length 32 --trials 2 --search-epochs 1 2 --out out/sweep",
    ),
    # Data encoded before.
    Step("encode", f"encode {SINGLE} {MODEL} --max-length 32 --shards 2 --out out/encoded"),
    Step("encode-store", f"encode {PAIRS} {MODEL} --max-length 32 --format store --out out/store"),
    Step("encoded", f"train --data out/encoded {MODEL} {BRIEF} --out out/of-encoded"),
    Step("stored", f"train --data out/store {MODEL} {BRIEF} --out out/of-store"),
    # What is done with a run.
    Step("evaluate", "evaluate out/single --data inputs/single/test.csv --json"),
    Step("evaluate-torch", "evaluate out/single --data inputs/single/test.csv --json", TORCH),
    Step("evaluate-values", "evaluate out/values --data inputs/values/test.csv --json"),
    Step("evaluate-several", "evaluate out/several --data inputs/several/test.jsonl --json"),
    Step("evaluate-encoded", "evaluate out/of-encoded --data out/encoded/test --json"),
    Step("predict-csv", "predict out/single --data inputs/single/test.csv --keep all --out out/answers.csv"),
    Step("predict-jsonl", "predict out/pairs --data inputs/pairs/test.csv --out out/answers.jsonl"),
    Step("predict-parquet", "predict out/several --data inputs/several/test.jsonl --out out/answers.parquet"),
    Step("predict-windows", "predict out/windows --data inputs/long/test.csv --out out/windows.tsv"),
    Step("predict-lines", "predict out/single --top-k 2", stdin="the film was good\na dull story\n"),
    Step("predict-torch", "predict out/single --json", TORCH, stdin="the film was good\na dull story\n"),
    Step("explain", "predict out/pairs --data inputs/pairs/test.csv --explain --limit 3 --json"),
    Step(
        "explain-occlusion",
        "predict out/single --explain --explain-by occlusion --json",
        stdin="the film was good\n",
    ),
    Step("compare", "compare out/single out/mean --json"),
    Step("calibrate", "calibrate out/stable --data inputs/single/test.csv --json"),
    Step("inspect-run", "inspect out/single"),
    Step("inspect-model", "inspect inputs/encoder --json"),
    Step("inspect-data", f"inspect inputs/single --text-a first --label mood {MODEL}"),
    Step("report", "report out/single-torch"),
    # Other formats, and back from one of them.
    Step("export", "export out/single out/exported --format transformers --data inputs/single/test.csv"),
    Step("export-checkpoint", "export out/pairs out/checkpoint --format tf_checkpoint --data inputs/pairs/test.csv"),
    Step("restored", f"train {PAIRS} --model out/checkpoint {BRIEF} --out out/restored"),
    # What is refused.
    Step("wrong-column", f"train --data inputs/single --text-a frist --label mood {MODEL} --out out/x", code=2),
    Step("wrong-file", f"train --data inputs/none.csv --text-a a --label b {MODEL} --out out/x", code=2),
    Step("wrong-model", "evaluate inputs/single --data inputs/single/test.csv", code=3),
    Step("help", "train --help-all"),
)
