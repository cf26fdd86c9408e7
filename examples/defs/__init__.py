"""For `dg`, which looks for components here; `definitions.py` has this project's definitions."""
