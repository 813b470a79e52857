def test_x(simulated_home, hillstrom_home, snapshot):
    print(snapshot(simulated_home).sql("select experiment,learner,metric,value from evaluation.metrics"))
    print(snapshot(hillstrom_home).sql("from duckdb_tables()"))
