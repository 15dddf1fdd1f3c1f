"""Training: the loop, its optimiser, mixed precision, and toy data to train on."""
