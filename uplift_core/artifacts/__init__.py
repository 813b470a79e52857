"""Files that outlive a run: bundles of models and published snapshots.

Every file is written under another name and renamed, so that a reader sees the old or the new one.
Begin to read with ``bundle``; ``home`` names the folders below ``UPLIFT_HOME``.
"""
