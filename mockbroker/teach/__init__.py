"""Teaching: the tutorial in virtual time, its consoles, and a prompt to try things at."""
