"""CP07: protection of a branch office's accesses: Web, mail, intruders."""
