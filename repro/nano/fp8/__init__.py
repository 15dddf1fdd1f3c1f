"""Numbers of few bits: formats, scales per tile, sums that keep little, and training with them."""
