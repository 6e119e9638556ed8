"""Models from elsewhere: names, addresses, caches, downloads."""
