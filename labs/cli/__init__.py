"""The command `plateau`: parse, call, show. What it calls lives elsewhere and is imported where it is used."""
