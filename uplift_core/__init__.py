"""The science of the uplift engine, on arrays: this package reads no database, no users' file, no HTTP.

Begin with ``learners`` (the meta-learners), ``evaluation`` (held-out figures with standard errors) and
``targeting`` (whom to treat within a budget).
"""
