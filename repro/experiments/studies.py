"""All studies by name."""

from repro.experiments import (
    associative_recall,
    balancing,
    copying,
    long_sums,
    loud_tokens,
    memorising,
    recall,
    shared_experts,
    star_graphs,
)
from repro.experiments.record import Study

ALL = (loud_tokens, long_sums, balancing, shared_experts, memorising, recall, associative_recall, copying, star_graphs)
STUDIES: dict[str, Study] = {module.STUDY.name: module.STUDY for module in ALL}
