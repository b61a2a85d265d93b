"""`curate serve`: analyses over HTTP, with a queue on disk: what was accepted is answered, whatever is killed."""
