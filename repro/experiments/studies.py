"""All studies by name."""

from repro.experiments import ablations, balancing, copying
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {study.name: study for study in (balancing.STUDY, copying.STUDY, ablations.STUDY)}
