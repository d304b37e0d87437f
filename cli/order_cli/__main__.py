"""`python -m order_cli`."""

from order_cli.main import main

main()
