"""Every benchmark's images and labels as one kind of table, whatever layout they came in."""
