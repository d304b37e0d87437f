"""The outside world as the workflow wants it, one file for each subject. The worker implements these; an override needs
its own `@activity.defn`.
"""
