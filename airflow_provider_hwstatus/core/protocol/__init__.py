"""How flows talk to the services: effects, responses, retries and redaction."""
