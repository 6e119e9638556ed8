"""What all tests share."""

import signal

from hypothesis import settings

# Tests that run in the background of a shell inherit that interrupts are ignored, and so does every process that they
# start: those which are interrupted on purpose would go on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says how busy the machine is.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
