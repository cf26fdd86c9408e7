"""The catalogue entries that the package brings with it, one JSON file each."""
