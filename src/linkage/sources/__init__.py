"""Extracts into clean frames: find, inspect, read, clean, resolve. One of the four folders that may see an NHS number."""
