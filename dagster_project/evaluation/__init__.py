"""Evaluate the learners on held-out users.

The input is groups of held-out users with equal scores. The output is ``evaluation.*``, the plots, the
model card and the comparison with econml. Begin with ``figures.evaluate``.
"""
