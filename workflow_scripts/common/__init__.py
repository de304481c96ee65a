"""What every stage may import; nothing here knows a stage."""
