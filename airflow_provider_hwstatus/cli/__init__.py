"""The command line: ``airflow hwstatus`` and ``python -m airflow_provider_hwstatus``."""
