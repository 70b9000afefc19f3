"""What the page of a forecast looks like: colours and type as on the pages of `task.flask`."""

from __future__ import annotations

from task.foresight.vector import STYLE

__all__ = ["PAGE_STYLE"]

PAGE_STYLE = (
    """
:root { color-scheme: light dark; --paper: #fbfaf8; --surface: #ffffff; --sunken: #f0ede7; --line: #e3dfd8;
  --ink: #1d1b18; --ink-soft: #57524a; --accent: #175c5a; --bad: #b3261e; --bad-wash: #fbe9e7; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #161513; --surface: #1e1d1a; --sunken: #2c2a26; --line: #35322d;
    --ink: #efece6; --ink-soft: #bdb7ac; --accent: #6cc4bd; --bad: #ff8a80; --bad-wash: #401d1a; --warn: #e8b54d; }
}
*, *::before, *::after { box-sizing: border-box; }
html { font: 100%/1.5 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
main { max-width: 64rem; margin: 0 auto; padding: 1.75rem 1.25rem 4rem; display: grid; gap: 1.5rem;
  grid-template-columns: minmax(0, 1fr); }
h1, h2 { line-height: 1.25; margin: 0; font-weight: 650; letter-spacing: -0.01em; text-wrap: balance;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; }
h2 { font-size: 1.0625rem; }
p, ul { margin: 0; }
header p, .soft { color: var(--ink-soft); }
section { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 1.125rem;
  display: grid; gap: 0.875rem; grid-template-columns: minmax(0, 1fr); }
section.full { border-color: var(--bad); background: var(--bad-wash); }
ul { padding-left: 1.25rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.wide svg { display: block; min-width: 40rem; max-width: 52rem; width: 100%; height: auto; }
table { width: 100%; border-collapse: collapse; }
th, td { text-align: left; padding: 0.5rem 0.75rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { font-size: 0.8125rem; font-weight: 600; color: var(--ink-soft); border-top: 0; white-space: nowrap; }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 9rem; }
th:first-child, td:first-child { padding-left: 0; }
.number { text-align: right; white-space: nowrap; }
.sub { display: block; font-size: 0.875rem; font-weight: 400; color: var(--ink-soft); }
.late { color: var(--warn); }
.bad { color: var(--bad); }
.bar { display: block; width: 100%; min-width: 8rem; height: 0.5rem; border-radius: 99px; background: var(--sunken);
  overflow: hidden; }
.bar > span { display: block; height: 100%; background: var(--accent); }
.bar > .full { background: var(--bad); }
td .bar { margin-top: 0.25rem; }
@media (max-width: 47.9375rem) {
  main { padding: 1.25rem 1rem 3rem; gap: 1.125rem; }
  table, tbody { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tr { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.25rem 1rem; padding: 0.75rem 0;
    border-top: 1px solid var(--line); }
  tbody tr:first-child { border-top: 0; }
  th, td, .number { border: 0; padding: 0; text-align: left; white-space: normal; }
  tbody th { grid-column: 1 / -1; }
  td:empty { display: none; }
  td::before { content: attr(data-label) " "; font-size: 0.8125rem; color: var(--ink-soft); }
}
summary { cursor: pointer; color: var(--accent); }
"""
    + STYLE
)
