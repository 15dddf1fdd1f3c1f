"""All studies by name."""

from repro.experiments import ablations, balancing, long_sums, loud_tokens, prediction
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {study.name: study for study in (balancing.STUDY, prediction.STUDY, ablations.STUDY)}
STUDIES |= {study.name: study for study in (loud_tokens.STUDY, long_sums.STUDY)}
