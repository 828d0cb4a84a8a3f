"""CP10: automate tasks with scripts."""
