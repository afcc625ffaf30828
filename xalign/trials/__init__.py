"""A sweep's trials as their jobs see them: the figures they are judged by, and the search's file."""
