"""app builds, starts, reloads and stops; it is imported by nobody."""
