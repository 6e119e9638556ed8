"""How every page looks: one column, light or dark as the reader's system is, no script, no font to fetch.

The series colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), lighter on dark paper. No meaning
rests on colour alone.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1c1d20; --faint: #5c6068; --line: #e2e0da; --soft: #f1efe9;
  --s0: #0072b2; --s1: #c75000; --s2: #00805d; --s3: #b0548a; --s4: #9c6b00; --s5: #2f8fc4; --s6: #55585e;
  --good: #00704f; --warn: #9a3412; --warn-soft: #fdf1e7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #131417; --card: #1b1d21; --ink: #e8e8ea; --faint: #a2a6af; --line: #33363d; --soft: #24272c;
    --s0: #58b4ea; --s1: #f58a4b; --s2: #3ec79c; --s3: #e29ac4; --s4: #edb84a; --s5: #8fd0f5; --s6: #b3b6bd;
    --good: #52d0a5; --warn: #ffb083; --warn-soft: #33231a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Helvetica, Arial, sans-serif;
}
main, header, footer { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 36px; }
footer { padding-top: 12px; padding-bottom: 48px; color: var(--faint); font-size: 13px; }
h1 { font-size: 15px; font-weight: 600; margin: 0; color: var(--faint); }
h2 { font-size: 20px; line-height: 1.3; margin: 48px 0 4px; letter-spacing: -0.01em; }
h3 { font-size: 15px; margin: 24px 0 6px; }
p { margin: 6px 0 12px; max-width: 76ch; }
a { color: var(--s0); }
nav { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 20px 0 0; font-size: 14px; }
code, pre, .place { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code, pre { font-size: 13px; }
pre { background: var(--soft); border-radius: 6px; padding: 12px 14px; margin: 8px 0 16px; white-space: pre-wrap; }
.note { color: var(--faint); font-size: 14px; }
.headline { font-size: clamp(38px, 8vw, 60px); line-height: 1.1; font-weight: 650; letter-spacing: -0.025em;
  margin: 6px 0; }
.headline small { font-size: 0.42em; font-weight: 500; color: var(--faint); letter-spacing: 0; }
.verdict { font-size: 18px; margin: 0 0 8px; }
.callout { border-left: 4px solid var(--warn); background: var(--warn-soft); border-radius: 0 6px 6px 0;
  padding: 10px 14px; margin: 12px 0; }
.callout b { color: var(--warn); }
.callout.severe { border: 2px solid var(--warn); border-left-width: 8px; font-size: 18px; font-weight: 600; }
.callout p, .callout pre { margin: 6px 0 0; font-size: 14px; font-weight: 400; }
.callout pre { padding: 6px 10px; font-size: 13px; }
.callout ul { margin: 4px 0 0; padding-left: 18px; } .flag { white-space: nowrap; }
ul.notes { border-left: 4px solid var(--line); margin: 12px 0; padding: 4px 14px 4px 30px; color: var(--faint);
  font-size: 14px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); gap: 16px;
  margin: 14px 0; }
figure { margin: 0; padding: 14px 14px 8px; background: var(--card); border: 1px solid var(--line);
  border-radius: 8px; }
figcaption { font-size: 14px; font-weight: 600; margin-bottom: 6px; }
figcaption span { display: block; font-weight: 400; color: var(--faint); font-size: 13px; }
svg { display: block; width: 100%; height: auto; max-width: 480px; }
svg text { font-size: 12px; fill: var(--faint); font-family: inherit; font-variant-numeric: tabular-nums; }
.strip { overflow: visible; max-width: 520px; margin: 14px 0 10px; }
.strip .track { fill: var(--line); } .strip .bar { opacity: 0.45; }
.strip .knob { fill: var(--s0); stroke: var(--paper); stroke-width: 2; }
.strip .baseline { stroke: var(--ink); stroke-width: 1.5; }
.spark { display: inline-block; width: 60px; height: 20px; vertical-align: -5px; }
.measured { display: block; min-width: 76px; padding: 0 4px; border-radius: 3px; }
svg .axis { stroke: var(--line); } svg .mark { stroke: var(--faint); stroke-dasharray: 3 3; }
svg .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; } svg .thin { opacity: 0.3; stroke-width: 1; }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); }
svg .curve, svg .whisker { stroke: var(--c); } svg .dot, svg .bar { fill: var(--c); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: 12px; color: var(--faint); margin: 4px 0; }
.legend i { display: inline-block; width: 14px; height: 3px; background: var(--c); margin-right: 5px;
  vertical-align: 3px; }
.columns { display: flex; flex-wrap: wrap; gap: 0 56px; } .columns > * { min-width: 0; max-width: 100%; }
.scroll { overflow-x: auto; margin: 10px 0 16px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
th { color: var(--faint); font-weight: 600; font-size: 13px; }
td:first-child, th:first-child { min-width: 6.5em; }
.number { text-align: right; white-space: nowrap; }
table.matrix td, table.matrix th { padding: 7px 12px; }
table.matrix th { max-width: 108px; white-space: normal; font-size: 12px; vertical-align: bottom; }
table.matrix tbody th { max-width: 180px; vertical-align: middle; }
table.matrix td { text-align: right; border: 1px solid var(--card); }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 4px 18px; margin: 10px 0 16px; }
dt { color: var(--faint); } dd { margin: 0; min-width: 0; }
ol.rows { list-style: none; margin: 12px 0; padding: 0; columns: 2 420px; column-gap: 48px; }
ol.rows li { padding: 12px 0; border-top: 1px solid var(--line); break-inside: avoid; }
ol.rows .place { font-size: 12px; color: var(--faint); }
ol.rows q { display: block; quotes: none; white-space: pre-wrap; margin: 4px 0; unicode-bidi: plaintext; }
ol.rows q + q { padding-left: 12px; border-left: 2px solid var(--line); }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--s0); }
.better { color: var(--good); } .worse { color: var(--warn); font-weight: 600; }
@media (max-width: 520px) {
  main, header, footer { padding-left: 14px; padding-right: 14px; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; }
}
@media print {
  :root { color-scheme: light; }
  body { background: #fff; font-size: 11pt; } nav { display: none; } h2 { break-after: avoid; margin-top: 28px; }
  figure, .callout, tr { break-inside: avoid; }
}
"""
