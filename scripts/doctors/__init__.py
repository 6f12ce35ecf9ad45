"""What would stop a deploy of an environment, looked for before it: a subject a file, each check a function of a Place that only reads.

To add one: a function `(Place) -> Iterable[Finding]` in the file of its subject, named in every.py. What AWS refuses it leaves to `Place.reading`,
which makes "cannot tell" of it, with the permission that is missing.
"""
