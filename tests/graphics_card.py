"""A graphics card for tests, as NVIDIA's driver tells of it: its name and limits. Tests `replace` what it does now."""

from live_sr.nvidia.nvml import GpuState

CARD = GpuState(
    "NVIDIA GeForce RTX 4070",
    driver="610.12",
    cuda="13.1",
    capability="8.9",
    max_clock_mhz=2520,
    total_bytes=12 << 30,
    limit_watts=200.0,
)
