"""The catalogue of `why`: one file a cause, each a small pure check over a case, with its source and a test that makes it happen."""
