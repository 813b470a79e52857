"""The DuckDB file that everything is written to: how it is opened, its schemas, its names, its SQL.

In come SQL files and bound values, out come rows and Arrow tables; nothing here knows what a table
means. Begin with ``connection.Warehouse``; ``sql.render`` fills names into a SQL file.
"""
