"""One run after another: what each did, what machines are told of it, going back, disk space, and how a run is stopped."""
