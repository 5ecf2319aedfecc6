"""Whether two answers mean the same, by kind of answer."""
