"""Control: the catalogue of tables, and the admin API of a zone."""
