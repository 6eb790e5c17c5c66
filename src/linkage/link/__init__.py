"""Bundles into linked data: plain SQL over Parquet. Nothing here ever sees an NHS number."""
