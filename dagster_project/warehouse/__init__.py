"""The warehouse, one DuckDB file: open it, create its schemas, name its tables and run its SQL.

The inputs are SQL files and bound values. The outputs are rows and Arrow tables. No module here knows
the meaning of a table. Begin with ``connection.Warehouse``; ``sql.render`` fills names into a SQL file.
"""
