"""A day of the waiting line, in minutes: the real dispatcher, simulated people, a clock that jumps."""
