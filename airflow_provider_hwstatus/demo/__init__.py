"""``hwstatus-demo``: the example DAGs on a throw-away Airflow."""
