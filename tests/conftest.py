"""What every test relies on."""

import signal

# A shell starts background jobs with SIGINT ignored, and programs inherit that: tests of Ctrl-C would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
