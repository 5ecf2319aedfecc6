"""How answers are written: boxes, LaTeX, numbers, units, names; one normal form."""
