"""The only code that exists once per colour: running a flow, and sending one request."""
