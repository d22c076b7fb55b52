"""The queue and the conversations of the support dialect."""
