"""What the engines on NVIDIA GPUs share: memory, streams, the double buffer, and copies into OpenGL textures."""
