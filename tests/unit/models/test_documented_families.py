"""What the guide and CONTRIBUTING say of families is what the registry has."""

import re
from pathlib import Path

import torch

from bertune.kernels.build import NoKernelsError
from bertune.kernels.supported import check_computable
from bertune.models.encoder import Encoder
from bertune.models.registry import FAMILIES

ROOT = Path(__file__).parents[3]
SMALL = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50}


def test_the_table_of_the_guide_has_every_family_its_types_and_its_engine() -> None:
    guide = (ROOT / "docs" / "guides" / "models.md").read_text(encoding="utf-8")
    table = guide.partition("| family |")[2].partition("\n\n")[0]
    rows = {row[0]: row for row in (re.findall(r"[^|]+", line) for line in table.split("\n")[2:]) if row}
    found = {name.strip(): (types.strip(), engine.strip()) for name, types, _, engine in rows.values()}
    assert found == {
        family.name: (documented(family.model_types), engine_of(family.model_types[0])) for family in FAMILIES
    }


def documented(types: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in types)


def engine_of(model_type: str) -> str:
    own = {"electra": {"embedding_size": 64}, "modernbert": {"pad_token_id": 0}}.get(model_type, {})
    encoder = Encoder(model_type=model_type, **SMALL, **own)
    assert next(encoder.parameters()).dtype == torch.float32
    try:
        check_computable(encoder)
    except NoKernelsError:
        return "torch operators"
    return "compiled kernels"


def test_a_family_is_one_file_and_one_line_of_the_registry() -> None:
    """DistilBERT as the example: it is named in its own file and in the registry, and nowhere else in the package."""
    named = {
        path.relative_to(ROOT / "src" / "bertune").as_posix()
        for path in (ROOT / "src" / "bertune").rglob("*.py")
        if re.search(r"distilbert", path.read_text(encoding="utf-8"), re.IGNORECASE)
    }
    assert named - {"tokenization/tokenizer_keys.py"} == {"models/distilbert.py", "models/registry.py"}
