"""`bertune verify`: an export proved again."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertune.cli.options import OutputOptions
from bertune.cli.terminal import keep_quiet, say, show, show_json


def verify(
    export: Path,
    *,
    output: Annotated[OutputOptions, Parameter(name="*")] = OutputOptions(),  # noqa: B008 (frozen)
) -> None:
    """Prove an export again on this machine, by the rows that it keeps.

    Each file has to be the one that was proved; a link or a file that was added is refused. The export is loaded in a
    fresh process and answers a sample of the rows of its proof, by the same rule. Neither the model nor its data are
    needed. Exit code 1 says that it answers otherwise here, 3 that its files are not those of the proof.

    Args:
        export: the folder that bertune export made.
        output: what is printed.
    """
    from bertune.exports.verified_export import verify as verify_export

    tell = keep_quiet if output.quiet else say
    tell("the export answers its stored rows in a fresh process")
    found = verify_export(export)
    for warning in found.warnings:
        tell(f"warning: {warning}")
    if output.json:
        show_json({"export": str(export), **found.to_dict()})
    else:
        show([f"{export}: {found.summary()}", *found.lines()])
