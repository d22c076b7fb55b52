"""The timeout of a test that waits for an event which must happen.

The timeout says when to give up, not how fast the code has to be: on a machine that is busy with other work
the event takes longer, and a failure there would say nothing about the code.
"""

WAIT_TIMEOUT_SECONDS = 60.0
"""A test that waits for several events in turn has twice that for all of them, see ``setup.cfg``."""
