"""`kubectl order`: follow and decide orders. It knows the cluster by `kubectl` alone and acts as its caller."""
