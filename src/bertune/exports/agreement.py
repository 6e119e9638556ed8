"""The proof that an export is the model: equal answers to the same rows."""

import hashlib
from dataclasses import asdict, dataclass

from bertune.models.classifier import Classifier
from bertune.runtime.export_files import FORMAT_VERSION
from bertune.runtime.export_speed import SPEED_WORDS, ExportSpeed
from bertune.runtime.int8_agreement import Int8Agreement
from bertune.system.json_file import JsonObject
from bertune.wording.aligned import aligned


@dataclass(frozen=True)
class Agreement:
    """Result of an export's proof; it is kept in the export's folder as `agreement.json`.

    Args:
        format: of the export.
        rows: that model and export answered.
        text_rows: how many of them were texts; the others were random ids and rows at the limits.
        max_difference: largest difference of a logit, before it is divided by a temperature.
        tolerance: the largest that was allowed.
        tied_rows: rows where another label came first, among labels that the model itself has within twice the
            tolerance of each other; 0 for regression.
        weights_digest: SHA-256 of the model's weights, see `weights_digest`.
        tokenizer_digest: SHA-256 of its vocabulary and flags.
        versions: of the packages that answered.
        probabilities: which ones the logits give: whether a temperature is folded into them.
        warnings: what a user of this export has to know.
        files: SHA-256 of every other file of the export, by its path in the folder.
        int8: what the export in int8 answers, which was made of the one that was proved; None for one in float32.
        instructions: of the processor that it was proved on: the architecture, and what matters for products.
        export_speed: of the export there, in a fresh process; this and the next are in `proof.json`, since no two
            measurements are the same, whereas `agreement.json` is.
        model_speed: of the model beside it, by torch and bertune's kernels.
    """

    format: str
    rows: int
    text_rows: int
    max_difference: float
    tolerance: float
    tied_rows: int
    weights_digest: str
    tokenizer_digest: str
    versions: dict[str, str]
    probabilities: str = ""
    warnings: tuple[str, ...] = ()
    files: dict[str, str] | None = None
    int8: Int8Agreement | None = None
    instructions: tuple[str, ...] = ()
    export_speed: ExportSpeed | None = None
    model_speed: ExportSpeed | None = None

    def to_dict(self) -> JsonObject:
        """Returns what is written to `agreement.json`."""
        values = {"format_version": FORMAT_VERSION, **asdict(self)}
        for left_out in ("export_speed", "model_speed", *(("int8",) if self.int8 is None else ())):
            del values[left_out]
        return values

    def proof(self) -> JsonObject:
        """Returns what is written to `proof.json`: what was found, and how fast export and model were."""
        assert self.export_speed is not None
        assert self.model_speed is not None
        equal = 1 - self.tied_rows / self.rows if self.int8 is None else self.int8.equal
        return {
            "format_version": FORMAT_VERSION,
            "format": self.format,
            "is_int8": self.int8 is not None,
            "rows": self.rows if self.int8 is None else self.int8.rows,
            "max_difference": self.max_difference if self.int8 is None else self.int8.max_difference,
            "equal_labels": equal,
            "instructions": list(self.instructions),
            "export": self.export_speed.to_dict(),
            "model": self.model_speed.to_dict(),
        }

    def speed_lines(self) -> list[str]:
        """Returns a table of the sizes and speeds of export and model; empty where they were not measured."""
        if self.export_speed is None or self.model_speed is None:
            return []
        rows = [("", *SPEED_WORDS), ("export", *self.export_speed.texts()), ("model", *self.model_speed.texts())]
        return aligned(rows)

    def summary(self) -> str:
        """Returns one line, for instance `equal on 1,047 rows, 912 of them texts: logits to the last bit`."""
        tied = f", {self.tied_rows} of them ties" if self.tied_rows else ""
        logits = (
            f"logits differ by at most {self.max_difference:.1e}, {self.tolerance:.0e} are allowed"
            if self.max_difference
            else "logits to the last bit"
        )
        return f"equal on {self.rows:,} rows, {self.text_rows:,} of them texts{tied}: {logits}"


def weights_digest(classifier: Classifier) -> str:
    """Returns the SHA-256, hexadecimal, of all weights: of each, by name, the name, the shape and the fp32 bytes.

    It does not depend on the file that they came from.
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(classifier.named_parameters()):
        numbers = parameter.detach().float().cpu().contiguous().numpy()
        digest.update(f"{name} {numbers.shape}\n".encode())
        digest.update(numbers.data)
    return digest.hexdigest()
