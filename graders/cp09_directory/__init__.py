"""CP09: administer a network directory service."""
