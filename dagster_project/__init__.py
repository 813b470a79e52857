"""The batch: the steps that turn an experiment's file into published decisions.

Each folder is one layer. Data flows through ``inputs``, ``training``, ``scores``, ``evaluation``,
``decisions`` and ``delivery``, in this order. ``assets`` lists the tables that Dagster materializes,
one file per layer; begin to read there.
"""
