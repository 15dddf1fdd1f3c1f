"""The cost of a training run with its uncertainty: a cost model over ranges, sampled, and which input matters most."""
