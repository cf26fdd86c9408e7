"""Worlds: what the service may do without breaking any document, and how it is brought about."""
