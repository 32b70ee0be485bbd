"""The precisions in which `onnx_io` writes a network. Here, because this needs no package."""

QUANTIZED = ("int8", "fp8")
PRECISIONS = ("fp16", "fp32", *QUANTIZED)

LEAST_CAPABILITY = {"int8": (8, 0), "fp8": (8, 9)}
"""Compute capabilities from which on TensorRT-RTX 1.7 computes in them. Below, it computes int8 in fp16, with more
kernels than fp16 itself needs, and refuses fp8."""
