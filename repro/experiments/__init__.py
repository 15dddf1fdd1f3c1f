"""Training runs of the numpy model that are too long for a notebook: three studies, how a run is watched and recorded.

The command that runs them and the records that it writes are in the folder experiments/ beside the package.
"""
