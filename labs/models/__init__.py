"""Files that people write (labs, sessions, profiles) as validated models."""
