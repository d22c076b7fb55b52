"""A rehearsal of an operator's work after a crash, a mistake or a request, on a throw-away server."""
