"""How fast bertune trains on one GPU, beside transformers on the same card.

    python -m benchmarks.gpu --model base
    python -m benchmarks.gpu --model large --systems bertune,transformers-bf16 --without varlen-attention

Random weights and tokens, in the shape of MRPC: 53 tokens a pair. All systems are in this process, with the same first
weights, data, order, batch size and hyper-parameters; rounds are interleaved. Needs torch, numpy, tokenizers,
safetensors and transformers alone; bertune need not be installed. Writes NAME.json and NAME.md.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.machine import machine, versions  # noqa: E402
from benchmarks.speed.flops import Shape, executed_flops, model_flops  # noqa: E402
from benchmarks.speed.ratio import ratio_of_medians  # noqa: E402
from bertune.batches.dataset import Dataset  # noqa: E402
from bertune.batches.sampler import batches_of, epoch_order, steps_in_epoch  # noqa: E402
from bertune.data.task_kind import TaskKind  # noqa: E402
from bertune.models.bert import BERT, BertConfig  # noqa: E402
from bertune.models.classifier import Classifier, classifier_model  # noqa: E402
from bertune.nn.precision import Precision  # noqa: E402
from bertune.tokenization.encode_texts import EncodedExamples  # noqa: E402
from bertune.training.config import TrainingConfig  # noqa: E402
from bertune.training.engine_choice import engine_for  # noqa: E402
from bertune.training.loop import optimizer_of  # noqa: E402
from bertune.training.objective import Objective  # noqa: E402
from bertune.training.plan import TrainingPlan, plan_of  # noqa: E402
from bertune.training.step import StepPlace, seed_of_step, take_step  # noqa: E402

SIZES = {
    "tiny": (2, 128, 2, 512),
    "minilm": (6, 384, 12, 1536),
    "base": (12, 768, 12, 3072),
    "large": (24, 1024, 16, 4096),
}
BATCH = 32
# MRPC's training pairs that fill whole batches, their mean length, its spread, the longest, and its vocabulary.
MRPC_STEPS, MEAN, SPREAD, LONGEST, VOCABULARY = 114, 53.24, 13.0, 103, 30522
MRPC_PAIRS, MRPC_EPOCHS = 3668, 3


# ---- data and models ------------------------------------------------------------------------------------------------


def mrpc_like(examples: int, *, seed: int = 0) -> Dataset:
    """Makes pairs of random tokens with lengths like MRPC's, and random labels."""
    source = np.random.default_rng(seed)
    lengths = np.clip(np.rint(source.normal(MEAN, SPREAD, examples)), 12, LONGEST).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = source.integers(1000, VOCABULARY, offsets[-1]).astype(np.uint16)
    token_ids[offsets[:-1]] = 101
    token_ids[offsets[1:] - 1] = token_ids[offsets[:-1] + lengths // 2 - 1] = 102
    encoded = EncodedExamples(token_ids, offsets, (lengths // 2).astype(np.int32), np.zeros(examples, dtype=bool), 128)
    return Dataset(encoded, source.integers(0, 2, examples))


def bert_config(model: str) -> BertConfig:
    layers, hidden, heads, intermediate = SIZES[model]
    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        hidden_act="gelu",
    )


def transformers_model(config: BertConfig, classifier: Classifier) -> Any:
    """Makes transformers' model with the classifier's weights."""
    from transformers import BertConfig as TheirConfig
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification(TheirConfig(**{**config.to_dict(), "num_labels": classifier.num_labels}))
    weights = {
        name: value.detach().cpu() for name, value in classifier.classifier.state_dict(prefix="classifier.").items()
    }
    for name, value in classifier.encoder.named_parameters():
        targets = BERT.names.stored_names(name)
        parts = value.detach().cpu().chunk(len(targets))
        weights |= {f"bert.{target}": part for target, part in zip(targets, parts, strict=True)}
    model.load_state_dict(weights, strict=True)
    return model


# ---- systems --------------------------------------------------------------------------------------------------------


@dataclass
class Job:
    """What every system is given."""

    config: BertConfig
    classifier: Classifier
    data: Dataset
    training: TrainingPlan
    total_steps: int
    device: torch.device

    def order(self, epoch: int) -> Any:
        return epoch_order(len(self.data), seed=self.training.seed, epoch=epoch)


class Bertune:
    """bertune, its schedule spread over all rounds; with `without` tricks taken away."""

    def __init__(self, job: Job, *, precision: Precision, without: tuple[str, ...] = ()) -> None:
        self.job, self.without = job, without
        self.classifier = classifier_model(job.config, 2, seed=1)[0].to(job.device)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.config = replace(job.training, precision=precision)
        self.epochs = 0
        self.classifier.encoder.compute_dtype = self.dtype
        self.optimizer = optimizer_of(self.classifier, self.config, job.total_steps)
        with removed(without):
            self.engine = engine_for(self.classifier, self.optimizer)
        self.how = f"{precision}, {self.engine.name}"

    def first_loss(self) -> float:
        from bertune.batches.batch import pack

        first = np.arange(BATCH)
        batch = pack(self.job.data.encoded, first, self.job.data.targets, self.job.device)
        with torch.inference_mode(), removed(self.without):
            logits = self.classifier.eval()(batch)
            assert batch.targets is not None
            return float(torch.nn.functional.cross_entropy(logits, batch.targets))

    def train_epoch(self) -> None:
        objective = Objective(TaskKind.CLASSIFICATION, ("accuracy",))
        first_step = self.epochs * steps_in_epoch(len(self.job.data), BATCH)
        with removed(self.without):
            self.classifier.train()
            for step, indices in enumerate(batches_of(self.job.order(self.epochs), BATCH), start=first_step):
                torch.manual_seed(seed_of_step(self.config.seed, step))
                place = StepPlace(step, self.epochs + 1, self.optimizer.learning_rate_at(step))
                take_step(self.engine, objective, self.job.data, indices, place=place, micro_batch_size=BATCH)
        self.epochs += 1


class Transformers:
    """A loop like that of transformers' Trainer: dynamic padding, AdamW, a linear schedule, clipping.

    It fetches no loss, pins its batches and copies them without waiting, and uses torch's fused AdamW.
    """

    def __init__(self, job: Job, *, bf16: bool, compiled: bool = False) -> None:
        self.job, self.bf16 = job, bf16
        self.model = transformers_model(job.config, job.classifier).to(job.device)
        decaying = [value for value in self.model.parameters() if value.dim() > 1]
        others = [value for value in self.model.parameters() if value.dim() == 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decaying, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
            lr=job.training.learning_rate,
            fused=True,
        )
        warmup = max(1, int(job.total_steps * job.training.warmup_fraction))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: min(step / warmup, (job.total_steps - step) / max(1, job.total_steps - warmup)),
        )
        self.call: Any = torch.compile(self.model, dynamic=True) if compiled else self.model
        self.how = (
            f"{'bf16 autocast' if bf16 else 'fp32'}, sdpa, dynamic padding{', torch.compile' if compiled else ''}"
        )
        bounds = job.data.encoded.offsets
        ids = job.data.encoded.token_ids
        self.rows = [ids[start:stop].astype(np.int64) for start, stop in pairwise(bounds)]
        self.epochs = 0

    def batch(self, indices: Any) -> dict[str, torch.Tensor]:
        width = max(len(self.rows[index]) for index in indices)
        arrays = {
            name: np.zeros((len(indices), width), np.int64)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        }
        for row, index in enumerate(indices):
            length, first = len(self.rows[index]), self.job.data.encoded.first_lengths[index]
            arrays["input_ids"][row, :length] = self.rows[index]
            arrays["attention_mask"][row, :length] = 1
            arrays["token_type_ids"][row, first:length] = 1
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        assert self.job.data.targets is not None
        tensors["labels"] = torch.from_numpy(self.job.data.targets[indices])
        if self.job.device.type == "cuda":
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        return {name: tensor.to(self.job.device, non_blocking=True) for name, tensor in tensors.items()}

    def first_loss(self) -> float:
        with torch.inference_mode():
            return float(self.model.eval()(**self.batch(np.arange(BATCH))).loss)

    def train_epoch(self) -> None:
        self.model.train()
        for indices in batches_of(self.job.order(self.epochs), BATCH):
            with torch.autocast(self.job.device.type, torch.bfloat16) if self.bf16 else nullcontext():
                loss = self.call(**self.batch(indices)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.job.training.max_gradient_norm)
            self.optimizer.step()
            self.schedule.step()
            self.optimizer.zero_grad()
        self.epochs += 1


SYSTEMS: dict[str, Callable[[Job], Any]] = {
    "bertune": lambda job: Bertune(job, precision="bf16"),
    "bertune-fp32": lambda job: Bertune(job, precision="fp32"),
    "transformers": lambda job: Transformers(job, bf16=False),
    "transformers-bf16": lambda job: Transformers(job, bf16=True),
    "transformers-bf16-compiled": lambda job: Transformers(job, bf16=True, compiled=True),
}


@contextmanager
def removed(tricks: tuple[str, ...]) -> Iterator[None]:
    before = os.environ.get("BERTUNE_DISABLE", "")
    os.environ["BERTUNE_DISABLE"] = ",".join(tricks)
    try:
        yield
    finally:
        os.environ["BERTUNE_DISABLE"] = before


# ---- measuring ------------------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """What was measured of a system; `error` where it broke off."""

    how: str = ""
    first_loss: float | None = None
    preparing_seconds: float = 0.0
    peak_gib: float | None = None
    rates: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def mrpc_seconds(self) -> float:
        """The steps of three epochs of MRPC, from the first: what is recorded or compiled, then as in the rounds."""
        return self.preparing_seconds + MRPC_EPOCHS * MRPC_PAIRS / self.rate


def measure(job: Job, makers: dict[str, Callable[[Job], Any]], rounds: int) -> dict[str, Measured]:
    """Builds each system and lets it train an epoch, then all of them in turns."""
    found = {name: Measured() for name in makers}
    systems: dict[str, Any] = {}
    first_seconds: dict[str, float] = {}
    for name, make in makers.items():
        with noting(found[name]):
            wait(job.device)
            before = memory(job.device)
            systems[name] = system = make(job)
            found[name].how = system.how
            found[name].first_loss = system.first_loss()
            first_seconds[name] = seconds(system.train_epoch, job.device)
            found[name].peak_gib = peak_above(before, job.device)
        print(f"{name}: {found[name].error or found[name].how}", flush=True)
    for number in range(rounds):
        for name, system in systems.items():
            if found[name].error:
                continue
            with noting(found[name]):
                found[name].rates.append(len(job.data) / seconds(system.train_epoch, job.device))
                print(f"round {number + 1}  {name}  {found[name].rates[-1]:.1f} examples/s", flush=True)
    for name, first in first_seconds.items():
        if found[name].rates:
            found[name].preparing_seconds = max(0.0, first - len(job.data) / found[name].rate)
    return found


@contextmanager
def noting(measured: Measured) -> Iterator[None]:
    """Lets one system fail without the others."""
    try:
        yield
    except Exception as error:
        measured.error = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def seconds(work: Callable[[], None], device: torch.device) -> float:
    gc.collect()
    wait(device)
    started = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - started


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_above(before: int, device: torch.device) -> float | None:
    return (torch.cuda.max_memory_allocated(device) - before) / 2**30 if device.type == "cuda" else None


def gemm_rate(rows: int, inner: int, columns: int, device: torch.device) -> float:
    """Returns the FLOP/s of a bf16 product, the best of five series."""
    left = torch.randn(rows, inner, device=device, dtype=torch.bfloat16)
    right = torch.randn(inner, columns, device=device, dtype=torch.bfloat16)
    repeats = 50 if device.type == "cuda" else 2

    def series() -> None:
        for _ in range(repeats):
            left @ right

    series()
    return 2.0 * rows * inner * columns * repeats / min(seconds(series, device) for _ in range(5))


# ---- report ---------------------------------------------------------------------------------------------------------


def report(result: dict[str, Any], found: dict[str, Measured], flops: tuple[float, float]) -> str:
    """Returns the table; flops are the model's and those that bertune executes, of one example."""
    peak = result["gemm"]["large"]
    lines = [
        f"# {result['model']} shape on {result['device']}: training on MRPC-shaped data",
        "",
        "| system | examples/s | beside it bertune is | 3 epochs of MRPC | model FLOPs | executed FLOPs | peak memory "
        "| how |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in found.items():
        if one.error or not one.rates:
            lines.append(f"| {name} | failed | | | | | | {one.error} |")
            continue
        ours = found.get("bertune")
        ratio = ratio_of_medians(ours.rates, one.rates).text() if ours and len(ours.rates) == len(one.rates) else ""
        executed = f"{flops[1] * one.rate / peak:.1%}" if name.startswith("bertune") else ""
        gib = "" if one.peak_gib is None else f"{one.peak_gib:.2f} GiB"
        lines.append(
            f"| {name} | {one.rate:,.0f} ({min(one.rates):,.0f} to {max(one.rates):,.0f}) | {ratio} "
            f"| {one.mrpc_seconds:.1f} s | {flops[0] * one.rate / peak:.1%} | {executed} | {gib} | {one.how} |"
        )
    gemm = ", ".join(f"{name} {rate / 1e12:,.1f} TFLOP/s" for name, rate in result["gemm"].items())
    losses = ", ".join(f"{name} {one.first_loss:.5f}" for name, one in found.items() if one.first_loss is not None)
    about = ", ".join(f"{name} {value}" for name, value in {**result["versions"], **result["machine"]}.items())
    lines += [
        "",
        f"{result['rounds']} rounds of {result['steps']} steps of {BATCH} pairs in turns, after one that is counted in "
        "the seconds alone, with what is recorded or compiled in it. FLOPs are shares of a large bf16 matrix product. "
        f"Matrix products: {gemm}.",
        "",
        f"Loss of the first batch, dropout off: {losses}.",
        "",
        f"{about}. Measured on {result['date']} by `{result['command']}`.",
        "",
    ]
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SIZES, default="base")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=MRPC_STEPS, help="of a round")
    parser.add_argument("--systems", help=f"names with commas between, of: {', '.join(SYSTEMS)}")
    parser.add_argument("--without", help="tricks to take away, one system for each; see `BERTUNE_DISABLE`")
    parser.add_argument("--out", type=Path, help="without suffix; by default in benchmarks/results")
    return parser.parse_args()


def main() -> None:
    options = parse()
    device = torch.device(options.device, 0) if options.device == "cuda" else torch.device(options.device)
    names = [name for name in SYSTEMS if device.type == "cuda" or "compiled" not in name]
    makers = {name: SYSTEMS[name] for name in (options.systems.split(",") if options.systems else names)}
    for trick in options.without.split(",") if options.without else ():
        makers[f"bertune without {trick}"] = lambda job, trick=trick: Bertune(job, precision="bf16", without=(trick,))
    config, data = bert_config(options.model), mrpc_like(options.steps * BATCH)
    epochs = options.rounds + 1
    classifier = classifier_model(config, 2, seed=1)[0]
    settings = TrainingConfig(recipe="lesson", learning_rate=5e-5, epochs=epochs, batch_size=BATCH, seed=42)
    training = plan_of(settings, classifier, len(data))
    job = Job(config, classifier, data, training, epochs * options.steps, device)
    tokens = int(data.encoded.offsets[-1]) // options.steps
    size = 8192 if device.type == "cuda" else 512
    gemm = {
        "large": gemm_rate(size, size, size, device),
        f"{tokens} x {config.hidden_size} x {config.intermediate_size}": gemm_rate(
            tokens, config.hidden_size, config.intermediate_size, device
        ),
    }
    found = measure(job, makers, options.rounds)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else machine()["cpu"]
    result = {
        "model": options.model,
        "device": where,
        "rounds": options.rounds,
        "steps": options.steps,
        "gemm": gemm,
        "systems": {name: asdict(one) for name, one in found.items()},
        "versions": versions("numpy", "tokenizers", "torch", "transformers"),
        "machine": machine() | {"cuda": torch.version.cuda},
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
    }
    shape = Shape(config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.num_attention_heads)
    lengths = [int(length) for length in np.diff(data.encoded.offsets)]
    flops = (
        model_flops(shape, lengths, training=True) / len(lengths),
        executed_flops(shape, lengths, training=True, by_kernels=False) / len(lengths),
    )
    tag = "-".join(where.lower().replace("(r)", "").split())
    out = options.out or ROOT / "benchmarks" / "results" / f"gpu-{options.model}_{tag}_{result['date']}"
    text = report(result, found, flops)
    out.with_name(out.name + ".json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    out.with_name(out.name + ".md").write_text(text, encoding="utf-8")
    print(text)
    if any(one.error for one in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
