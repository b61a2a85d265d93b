"""`curate label serve`: clips for annotators under signed links, and word from Label Studio of what they did."""
