"""All studies by name."""

from repro.experiments import ablations, balancing, memorising, prediction, shared_experts
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (balancing.STUDY, prediction.STUDY, ablations.STUDY, memorising.STUDY, shared_experts.STUDY)
}
