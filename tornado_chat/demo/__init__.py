"""A throw-away server with made-up people."""
