"""`python -m order_devstack`: the real servers and the product on this machine."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this folder also runs without being installed, so nothing else checks it
    sys.exit("Python 3.11 or newer is needed to run the stack; install it and create the virtual environment with it.")

import signal

from order_devstack.command_line import main

signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop cleans up as Ctrl-C does
sys.exit(main())
