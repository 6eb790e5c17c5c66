"""What a run takes over from the last one at the site: what stands, what is carried over by token, what is made again."""
