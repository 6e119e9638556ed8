"""`bertune export`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertune.cli.options import OutputOptions
from bertune.cli.proof_options import ProofOptions
from bertune.exports.formats import FormatName


def export(
    run: Path,
    out: Path,
    options: Annotated[ProofOptions, Parameter(name="*")] = ProofOptions(),  # noqa: B008 (frozen)
    *,
    format: FormatName,
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Export a fine-tuned model to transformers or TensorFlow, after a proof that the export equals it.

    Its temperature is folded into the head, so that other programs give its calibrated probabilities, too.

    The export is read again in a fresh process and answers at least 1,000 rows as the model does: all texts of the
    data, rows at the limits, and rows of random ids. What the proof found is in agreement.json; where it fails nothing
    is left behind.

    Args:
        run: a run or model folder.
        out: a new folder, or that of an earlier export, which is replaced.
        options: the texts of the proof.
        format: transformers, a folder for its pipelines and for whatever reads such a folder; tf_checkpoint, as Google
            publishes BERT; or saved_model, which needs pip install "bertune[tensorflow]".
        output: what is printed.
    """
    from bertune.cli.exporting import export_model
    from bertune.cli.terminal import keep_quiet, say, show, show_json

    agreement = export_model(run, out, options, format, say=keep_quiet if output.quiet else say, quiet=output.quiet)
    if output.json:
        show_json({"out": str(out), **agreement.to_dict()})
    else:
        show([f"{out}: {format}, {agreement.summary()}", f"probabilities: {agreement.probabilities}"])
