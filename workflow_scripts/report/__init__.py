"""What people look at: one self-contained page, and a table for the terminal."""
