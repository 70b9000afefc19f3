"""What `task` costs and how punctual it is, held against its peers in one run: ``python -m benchmarks``.

A machine is shared and noisy, so a figure on its own says little; only ratios within one run count.
Each figure is taken in a fresh process (`benchmarks.child`), subject after subject, several times
over, and the median counts (`benchmarks.runner`).
"""
