"""Models: fetch weights from any source into folders that training and evaluation load."""
