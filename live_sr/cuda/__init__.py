"""What the engines on NVIDIA cards share: memory, streams, the two slots, and the way into an OpenGL texture."""
