"""How long a test waits for what is sure to come.

It says when to give up, not how fast a thing has to be: a machine that is busy with everything else at the same
time takes its time, and a test that fails then tells nobody anything.
"""

PATIENCE = 60.0  # seconds; what waits for several things one after the other has twice that, see setup.cfg
