"""The built-in console: one page that says how the region is, and one page for each incident."""
