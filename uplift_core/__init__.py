"""The science of the uplift engine, on arrays: nothing here reads a database, a file of users or HTTP.

Begin with ``learners`` (the meta-learners), ``evaluation`` (held-out figures with standard errors) and
``targeting`` (whom to treat within a budget).
"""
