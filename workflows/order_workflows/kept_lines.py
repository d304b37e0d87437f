"""Names for undos that leave some lines as they are: each set of kept lines is an operation of its own."""

import hashlib
from collections.abc import Sequence


def kept_suffix(line_ids: Sequence[str]) -> str:
    """Empty where no line is kept; otherwise the same for the same lines, which must be sorted."""
    if not line_ids:
        return ""
    return f"/{hashlib.sha256(' '.join(line_ids).encode()).hexdigest()[:8]}"
