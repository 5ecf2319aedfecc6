"""What every test relies on."""

import signal
import sys

from absl import logging as absl_logging

# A shell starts background jobs with SIGINT ignored, and programs inherit that: tests of Ctrl-C would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# absl, which rouge-score brings, writes to the standard error that it finds when it is imported, and closes that stream
# when logging is configured anew, as submitit does. In a test it would find, and close, pytest's own capture.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
