"""What a result was measured on: processor, cores, versions. Needs no package, so that any interpreter can use it."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Returns processor, cores, memory and what the processor multiplies natively."""
    fields = _cpu_fields()
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", platform.processor() or "unknown"),
        # Where a virtual machine hides the name, these still tell a Zen 4 (25, 17) from its neighbours.
        "cpu_family": fields.get("cpu family"),
        "cpu_model": fields.get("model"),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "avx512_bf16": "avx512_bf16" in flags,
        "amx": "amx_bf16" in flags,
    }


def hardware_name() -> str:
    """Returns the hardware's part of a result file's name, for instance `2-core-xeon-amx`."""
    about = machine()
    words = about["cpu"].replace("(R)", " ").replace("(TM)", " ").lower().split()
    family = next((word for word in ("xeon", "epyc", "ryzen", "core", "neoverse") if word in words), platform.machine())
    return f"{about['cores']}-core-{family}" + ("-amx" if about["amx"] else "-bf16" if about["avx512_bf16"] else "")


def versions(*packages: str) -> dict[str, str]:
    """Returns the installed versions of packages; those that are not there are left out."""
    found = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu_fields() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return {}
    lines = path.read_text().split("\n\n")[0].splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _memory_gib() -> int:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (ValueError, OSError):
        return 0
