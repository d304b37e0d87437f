"""Encryption of what Temporal keeps: payloads of workflows, their memo and their failures."""
