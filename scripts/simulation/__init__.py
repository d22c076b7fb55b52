"""A simulated day of the support queue: the real dispatcher, simulated people and a virtual clock."""
