"""Wiro over HTTP: credentials, typed answers, the client, downloads and progress events."""
