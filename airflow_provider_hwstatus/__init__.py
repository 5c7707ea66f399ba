"""Apache Airflow provider that waits for Huawei Cloud DLI and CPH jobs."""
