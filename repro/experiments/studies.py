"""All studies by name."""

from repro.experiments import balancing, prediction, recall
from repro.experiments.record import Study

STUDIES: dict[str, Study] = {study.name: study for study in (balancing.STUDY, prediction.STUDY, recall.STUDY)}
