"""``hwstatus-demo``: runs the example DAGs on a temporary Airflow."""
