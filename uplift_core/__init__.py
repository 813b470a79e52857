"""The science of the uplift engine: learners, cells, evaluation and decisions, without any storage."""
