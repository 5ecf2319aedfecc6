"""How predictions are shown: tables and files, pictures, the section of the report."""
