"""Whether this CPU computes in bfloat16, or emulates it, which is slower than float32."""

import lightning as L
import torch
from lightning.pytorch.accelerators import CPUAccelerator

X86, ARM = ("amx_bf16", "avx512_bf16"), ("bf16", "sve_bf16")  # any of these flags will do
NATIVE = {"x86_64": X86, "aarch64": ARM, "arm64": ARM}


def emulates_bf16() -> bool:
    """Whether the CPU has no instructions for it; False of architectures that are not known."""
    found = torch.cpu.get_capabilities()
    flags = NATIVE.get(str(found.get("architecture")), ())
    return bool(flags) and not any(found.get(flag) for flag in flags)


def warning(trainer: L.Trainer) -> str | None:
    """What to say of a ``trainer`` that is slow for this alone; None where nothing is."""
    if not isinstance(trainer.accelerator, CPUAccelerator) or not str(trainer.precision).startswith("bf16"):
        return None
    if not emulates_bf16():
        return None
    return (
        "this CPU emulates bfloat16, which is slower than float32: `--trainer.precision 32-true` is another experiment "
        "by its key, and faster here"
    )
