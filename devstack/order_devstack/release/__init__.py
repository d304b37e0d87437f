"""What is published of a version: wheel, charts, bills of materials, notes. Built from a commit, the same each time."""
