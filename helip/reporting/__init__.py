"""What came out of a study: statistics, tables, claims, figures and the report.

measured -> statistics -> tables, effects, claims, quality -> answer, figures -> document -> pages: numbers are typed from the metrics files
to the page. CSV files are output only.
"""
