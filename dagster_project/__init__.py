"""Orchestration: the assets that turn an experiment's file into published decisions."""
