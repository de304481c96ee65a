"""Models by their source, as folders that training and evaluation load."""
