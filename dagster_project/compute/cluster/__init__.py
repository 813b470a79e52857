"""Bulk work on the workers of a Dask cluster, part by part, with the results of one machine.

Each call of ``Compute`` becomes tasks over Parquet parts. Begin with ``cluster.Cluster``;
``row_local_sql`` decides whether SQL may run on each part separately.
"""
