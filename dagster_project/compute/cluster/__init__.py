"""The same work on the workers of a Dask cluster, part by part, with equal results.

In come the calls of ``Compute``; each becomes tasks over Parquet parts. Begin with ``cluster.Cluster``;
``row_local_sql`` decides whether SQL may be run on each part by itself.
"""
