"""How flows talk to the services: effects, responses, retry, redaction."""
