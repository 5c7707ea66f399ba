"""
What to ask Huawei Cloud and how to read the answer: standard library only, no clock, no socket, no Airflow.

Start with ``jobs.py`` (what can be waited for) and ``client.py`` (how one question is asked).
"""
