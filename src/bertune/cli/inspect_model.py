"""What `bertune inspect` finds out about a run or a model."""

import math
from pathlib import Path

from bertune.checkpoints.model_files import config_file, files_folder, find_model_folder, tokenizer_folder
from bertune.checkpoints.model_folder import load
from bertune.checkpoints.read_signature import read_signature
from bertune.checkpoints.receipt import shape_text
from bertune.checkpoints.restore import restore
from bertune.checkpoints.signature import ModelSignature
from bertune.checkpoints.stored_sizes import fitted_config
from bertune.checkpoints.tensor_bundle import TensorBundle
from bertune.checkpoints.tensorflow_names import find_prefix
from bertune.checkpoints.transformers_classifier import is_of_transformers
from bertune.cli.inspect_data import Inspection
from bertune.cli.progress import FetchingProgress
from bertune.experiments.resume_certificate import read_certificate
from bertune.experiments.study_directory import StudyDirectory
from bertune.experiments.summary import summarize
from bertune.fetch.resolve import resolve_model
from bertune.models.encoder import Encoder
from bertune.models.encoder_config import EncoderConfig
from bertune.models.registry import read_config
from bertune.reports.run_files import read_scores
from bertune.system.hinted_values import to_json
from bertune.tokenization.read_tokenizer import read_tokenizer
from bertune.training.run_directory import RunDirectory, has_ended
from bertune.training.saved_run import RunScores
from bertune.wording.counts import counted
from bertune.wording.metric_text import epoch_text


def inspect_run(path: Path) -> Inspection:
    """Loads a fine-tuned model, checking every file, and shows its signature and scores."""
    folder = find_model_folder(path)
    model = load(folder)
    signature = model.signature
    scores = read_scores(path)
    lines = [f"model: {folder} (all files match their SHA-256)", *_signature_lines(signature)]
    lines += _config_lines(model.classifier.encoder.config)
    if not has_ended(path):
        lines.append("this run did not end: it was interrupted or killed, and this is the model of an epoch before")
        lines += [how] if (how := RunDirectory(path).how_to_resume()) else []
    if scores is None and (path / "scores.json").is_file():
        lines.append(f"its scores are of other weights: score these with bertune evaluate {path} --data FILE")
    if scores is not None:
        if scores.cross_validation is not None:
            count = counted(len(scores.folds or ()), "fold")
            lines.append(f"cross-validation, {count}, models of fewer rows: {scores.cross_validation.verdict}")
        for split in ("validation", "test"):
            scored = scores.validation if split == "validation" else scores.also.get(split)
            if scored is not None:
                lines.append(f"{split}, {_whose(scores)}: {scored.verdict}")
    values = {
        "model": str(folder),
        "signature": signature.to_dict(),
        # By its earlier name, for this release.
        "contract": signature.to_dict(),
        "scores": None if scores is None else scores.to_json(),
        "ended": has_ended(path),
    }
    if (certificate := read_certificate(path)) is not None:
        lines.append(certificate.sentence())
        values["resume"] = to_json(certificate)
    study = StudyDirectory(path).earlier()
    if study is not None and study.results:
        summary = summarize(study.results)
        lines += ["", *summary.lines()]
        values["seeds"] = to_json(summary.saved()) | {"results": [to_json(result) for result in summary.results]}
    return Inspection(lines, values, model.classifier)


def _whose(scores: RunScores) -> str:
    """Says which weights were scored: those of an epoch, of a seed's epoch, or an average of seeds."""
    since = ", before it was recalibrated" if scores.calibrated_since else ""
    if scores.average is not None:
        return f"{scores.average} of seeds {', '.join(str(seed) for seed in scores.seeds or ())}{since}"
    epoch = f"epoch {epoch_text(scores.epoch or 0)}"
    if scores.step is not None:
        epoch += f" (step {scores.step:,})"
    whose = epoch if scores.seed is None else f"seed {scores.seed}, {epoch}"
    return whose + since


def inspect_model(name: str, *, quiet: bool = False) -> Inspection:
    """Restores an encoder and shows its sizes, its tokenizer and the whole receipt."""
    with FetchingProgress(enabled=not quiet) as progress:
        folder = resolve_model(name, on_progress=progress.show)
    checkpoint = find_prefix(folder)
    if checkpoint is not None and not config_file(folder).is_file():
        return _inspect_tensors(TensorBundle(checkpoint))
    config = fitted_config(read_config(config_file(folder)), folder)
    tokenizer = read_tokenizer(tokenizer_folder(folder))
    encoder = Encoder.from_config(config)
    receipt = restore(encoder, folder, allow_new=["pooler"])
    lines = [f"encoder: {folder}", *_config_lines(config)]
    case = "lower-cased" if tokenizer.do_lower_case else "cased"
    spare = config.vocab_size - tokenizer.vocab_size
    more = f"; the word table has {counted(spare, 'spare row')}" if spare > 0 else ""
    if tokenizer.added_tokens:
        more = f", {counted(len(tokenizer.added_tokens), 'added token')} among them{more}"
    lines.append(f"tokenizer: {tokenizer.algorithm}, {tokenizer.vocab_size:,} pieces, {case}{more}")
    signature = read_signature(folder) if is_of_transformers(folder) else None
    if signature is not None:
        lines.append("fine-tuned by transformers: predict, evaluate, explain and calibrate take this folder")
        lines += _signature_lines(signature)
    lines += [f"receipt: {receipt.summary()}", *(f"  {line}" for line in receipt.lines())]
    values = {
        "path": str(folder),
        "signature": None if signature is None else signature.to_dict(),
        "contract": None if signature is None else signature.to_dict(),
        "config": config.to_dict(),
        "tokenizer": {"pieces": tokenizer.vocab_size, "do_lower_case": tokenizer.do_lower_case},
        "receipt": receipt.to_dict(),
    }
    return Inspection(lines, values, encoder)


def _inspect_tensors(bundle: TensorBundle) -> Inspection:
    """Lists a TensorFlow checkpoint whose configuration is not beside it, so that nothing can be restored."""
    tensors = [
        {"name": name, "shape": list(entry.shape), "dtype": entry.dtype} for name, entry in bundle.tensors.items()
    ]
    width = max((len(name) for name in bundle.tensors), default=0)
    numbers = sum(math.prod(entry.shape) for entry in bundle.tensors.values())
    lines = [f"TensorFlow checkpoint: {bundle.prefix}; no bert_config.json in {files_folder(bundle.prefix)}"]
    lines += [
        f"  {name:<{width}}  {shape_text(entry.shape):<14} {entry.dtype}" for name, entry in bundle.tensors.items()
    ]
    lines.append(f"{len(tensors)} tensors, {numbers:,} numbers")
    return Inspection(lines, {"path": str(bundle.prefix), "tensors": tensors, "numbers": numbers})


def _signature_lines(signature: ModelSignature) -> list[str]:
    if signature.is_pair is None:
        texts = "single texts or pairs"
    elif signature.is_pair:
        texts = f"pairs ({signature.text_a}, {signature.text_b})"
    else:
        texts = f"single texts ({signature.text_a})"
    answers = f"labels in this order: {', '.join(signature.labels)}" if signature.labels else "a value"
    return [
        f"task: {signature.task or 'own table'}, {signature.kind}, {answers}",
        f"takes {texts}, at most {signature.max_length} tokens; pooling {signature.pooling}; "
        f"from {signature.base_model}",
        *_further_lines(signature),
    ]


def _further_lines(signature: ModelSignature) -> list[str]:
    """Says what is unusual about how texts are read and answers made."""
    lines = [f"trained: {signature.trained}"] if signature.trained else []
    if signature.long_text != "first":
        lines.append(f"longer texts: {signature.long_text_account()}")
    if signature.temperature != 1:
        lines.append(f"logits are divided by {signature.temperature:.3g} before they become probabilities")
    if signature.folded_temperature != 1:
        lines.append(
            f"a temperature of {signature.folded_temperature:.3g} is folded into the head: probabilities are calibrated"
        )
    if signature.thresholds:
        names = signature.labels[-len(signature.thresholds) :]
        given = zip(names, signature.thresholds, strict=True)
        lines.append("given from: " + ", ".join(f"'{name}' {threshold:.3g}" for name, threshold in given))
    if named := signature.reading.named():
        lines.append(f"tables are read as those of training: {named}")
    if signature.target_range is not None:
        low, high = signature.target_range
        lines.append(f"values stay between {low:g} and {high:g}")
    return lines


def _config_lines(config: EncoderConfig) -> list[str]:
    return [
        f"encoder: {config.num_hidden_layers} layers, {config.hidden_size} wide, {config.num_attention_heads} heads, "
        f"{config.intermediate_size} intermediate, {config.max_positions} positions, {config.hidden_act}"
    ]
