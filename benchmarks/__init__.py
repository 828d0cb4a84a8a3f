"""Measurements of the product on this machine: `nox -s bench -- NAME`; figures go to .bench/NAME.json."""
