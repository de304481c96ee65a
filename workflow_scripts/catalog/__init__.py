"""Sources of metadata: readers that write one contract, and the merge into generations of the catalog."""
