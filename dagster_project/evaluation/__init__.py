"""How good the learners are on held-out users.

In come groups of held-out users with equal scores; out come ``evaluation.*``, the plots, the model card
and the comparison with econml. Begin with ``figures.evaluate``.
"""
