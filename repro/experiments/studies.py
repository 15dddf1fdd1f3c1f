"""All studies by name."""

from repro.experiments import balancing, copying, recall, star_graphs
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {
    study.name: study for study in (balancing.STUDY, recall.STUDY, copying.STUDY, star_graphs.STUDY)
}
