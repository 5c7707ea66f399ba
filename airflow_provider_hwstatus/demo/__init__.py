"""``hwstatus-demo``: the example DAGs on a temporary Airflow, against a fake Huawei Cloud."""
