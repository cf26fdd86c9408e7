"""The contract suite: client and service against the API document, endpoint by endpoint.

pytest runs it against the emulator. `python -m tests.contract` does the same and prints the table;
`python -m tests.contract --live` calls the real API with WIRO_API_KEY and WIRO_API_SECRET:
only what reads by default, the rest within a spending limit. It never runs by itself.
"""
