"""Checkpoints in the published form: safetensors, names, reading and writing."""
