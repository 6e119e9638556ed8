"""Names of files that are looked for before anything is read, so that to look for them imports nothing."""

from typing import Final

#: In the folder of an export: the proof of it.
EXPORT_PROOF_FILE: Final = "agreement.json"
