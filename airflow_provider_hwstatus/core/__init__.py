"""
What to request from Huawei Cloud and how to read the responses. Standard library only: no clock, no socket, no Airflow.

Start with ``connection/client.py``, which makes one authenticated request, and ``polling/wait.py``, the wait loop.
"""
