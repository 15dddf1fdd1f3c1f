"""All studies by name."""

from repro.experiments import ablations, balancing, prediction
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {one.name: one for one in (balancing.STUDY, prediction.STUDY, ablations.STUDY)}
