"""Sources of metadata, each read into one contract, and merged into generations of a catalogue."""
