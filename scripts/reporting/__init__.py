"""The report: gathered from AWS into plain values (gather), judged in words (summary), drawn (charts) and written as one page (page)."""
