"""Download images into tars, by img2dataset with this project's own fetch function."""
