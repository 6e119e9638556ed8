"""A small world for the command line: a tiny encoder with real files, and tables of a task it can learn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.end_to_end.world import BAD, COLUMNS, GOOD, OTHER, SPECIAL, TRAINING, Run, write_table

from bertune.checkpoints.name_maps import huggingface_names
from bertune.encoder.config import BertConfig
from bertune.encoder.encoder import Encoder


@pytest.fixture(scope="session")
def run() -> Run:
    """Runs the real command line in a fresh process."""

    def run_bertune(*arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bertune", *arguments],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=300,
            env=os.environ
            # What is promised bit for bit is promised on a processor.
            | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}
            | environment,
        )

    return run_bertune


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2-layer, 32-wide encoder as transformers lays it out."""
    folder = tmp_path_factory.mktemp("model")
    words = [*SPECIAL, *GOOD, *BAD, *OTHER]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config.to_dict()}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    torch.manual_seed(0)
    tensors = {}
    for name, parameter in Encoder.from_config(config).named_parameters():
        targets = huggingface_names(name)
        parts = parameter.detach().chunk(len(targets))
        tensors |= {target: part.clone() for target, part in zip(targets, parts, strict=True)}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    write_table(folder / "train.csv", 320, 1)
    write_table(folder / "validation.csv", 80, 2)
    write_table(folder / "test.csv", 80, 3)
    (folder / "pairs").mkdir()
    write_table(folder / "pairs" / "train.csv", 64, 1, pairs=True)
    write_table(folder / "pairs" / "validation.csv", 32, 2, pairs=True)
    return folder


@pytest.fixture(scope="session")
def trained(run: Run, model: Path, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by the real command line."""
    out = tmp_path_factory.mktemp("runs") / "mood"
    done = run("train", "--data", str(tables), *COLUMNS, "--model", str(model), "--out", str(out), *TRAINING)
    assert done.returncode == 0, done.stderr
    return out
