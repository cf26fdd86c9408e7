"""The YAML component: a whole collection from a `defs.yaml`."""
