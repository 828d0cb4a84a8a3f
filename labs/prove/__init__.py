"""`plateau prove`: show on real machines that a lab's checks tell right from wrong.

For each seed: the untouched bench gets no point; the solution and every alternative get all of them, before and after a
reboot; every mutant is seen applied, caught by its checks and by nothing else; grading again changes no verdict.
"""
