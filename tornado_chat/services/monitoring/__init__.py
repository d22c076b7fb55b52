"""The state of the server as operators see it."""
