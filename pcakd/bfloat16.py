"""Whether bfloat16 pays where the work is done."""

import torch


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products; without them it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
