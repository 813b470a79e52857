"""Files that outlive a run: bundles of models and published snapshots.

Every file is written aside and renamed, so that a reader sees the old or the new one. Begin with
``bundle``; ``home`` names the folders below ``UPLIFT_HOME``.
"""
