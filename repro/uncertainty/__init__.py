"""Money with its uncertainty: a cost model over ranges, sampled evenly, and which input matters."""
