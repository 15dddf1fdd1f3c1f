"""Serving: speculative decoding, and the balancer that places experts on GPUs."""
