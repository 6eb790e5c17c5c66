"""Snapshots on disk: written aside, checked, then one atomic switch."""
