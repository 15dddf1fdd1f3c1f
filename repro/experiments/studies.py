"""All studies by name."""

from repro.experiments import ablations, balancing, copying, star_graphs
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {
    study.name: study for study in (balancing.STUDY, copying.STUDY, star_graphs.STUDY, ablations.STUDY)
}
