"""The pages of the documentation that are written from the code: `python -m order_devstack.reference [--check]`."""
