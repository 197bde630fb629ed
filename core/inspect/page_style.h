// The style sheet of all web pages, for light and dark.
#pragma once

namespace moe {

// c0 ... c7: curves. h0 ... h9: loads from far below to far above the fair share, and dead experts. b0 ... b9: the same
// colours in the legend. t0 ... t8: numbers on them.
inline constexpr const char* kPageStyle = R"css(
:root { color-scheme: light dark; --page: #fbfbfa; --card: #ffffff; --text: #1c1d20; --faint: #646973; --line: #e2e3e6;
  --axis: #9aa0aa; --mark: #1c1d20; --bad: #c22f3c; --good: #11845b; --none: #e3a0a6; --bar: #d5e3f6;
  --c0: #2563c9; --c1: #d9660a; --c2: #11845b; --c3: #a23bb5; --c4: #c22f4e; --c5: #6b7a0f; --c6: #0f7f93; --c7: #7a5c3e;
  --h0: #1f5fa8; --h1: #4f8bc9; --h2: #8db7e0; --h3: #c8dcee; --h4: #ecece8; --h5: #f8dcb8; --h6: #f2b774; --h7: #dd8430;
  --h8: #ab5206; --h9: #ffffff; --on0: #ffffff; --on1: #1c1d20; }
@media (prefers-color-scheme: dark) { :root { --page: #15171a; --card: #1c1f23; --text: #e7e8ea; --faint: #9ca3ae;
  --line: #30343a; --axis: #656c77; --mark: #ffffff; --bad: #ff7b84; --good: #4fd1a1; --none: #7d3540; --bar: #24405f;
  --c0: #6ea8ff; --c1: #ff9d4d; --c2: #4fd1a1; --c3: #d98cf0; --c4: #ff7a93; --c5: #c3d14b; --c6: #4cc9de; --c7: #c9a78a;
  --h0: #7cbcfa; --h1: #4a8fd6; --h2: #356ba6; --h3: #2b4a6b; --h4: #35383d; --h5: #5c4529; --h6: #8f6128; --h7: #cc8129;
  --h8: #ffb765; --h9: #15171a; --on0: #101114; --on1: #101114; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 14px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 20px 40px; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 30px 0 10px; }
.sub { color: var(--faint); margin: 2px 0 16px; overflow-wrap: anywhere; }
.tokens { font: 13.5px/1.75 ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.tokens span { background: hsl(var(--h) 75% 86%); border-radius: 3px; }
.tokens .given { opacity: .55; }
@media (prefers-color-scheme: dark) { .tokens span { background: hsl(var(--h) 45% 30%); } }
@media print { .tokens span { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
.answer { font-size: 16px; font-weight: 600; margin: 0 0 14px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; }
.tile, figure, .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.tile { padding: 10px 14px; }
.tile b { display: block; font-size: 21px; font-weight: 600; }
.tile span { color: var(--faint); font-size: 12.5px; display: block; }
.bad { color: var(--bad); }
.good { color: var(--good); }
.alarm { border-left: 4px solid var(--bad); }
.card p { margin: 0 0 4px; overflow-wrap: anywhere; }
.card { padding: 12px 14px; margin-top: 10px; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 3px 24px; margin: 0; }
dl div { display: flex; gap: 10px; }
dt { color: var(--faint); flex: 0 0 108px; }
dd { margin: 0; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(460px, 100%), 1fr)); gap: 12px; }
figure { margin: 0; padding: 10px 12px; min-width: 0; display: flex; flex-direction: column; }
figure > svg { margin-top: auto; }
.card + .plots { margin-top: 12px; }
section + .sub { margin-top: 10px; }
figure.whole { margin-bottom: 12px; }
figure.wide { grid-column: 1 / -1; }
figcaption { margin-bottom: 4px; }
figcaption span { color: var(--faint); font-size: 12.5px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 11.5px; fill: var(--text); }
svg .tick { fill: var(--faint); }
svg .label { font-size: 12px; font-weight: 600; paint-order: stroke; stroke: var(--card); stroke-width: 4px; }
.grid { stroke: var(--line); }
.axis { stroke: var(--axis); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.h0 { fill: var(--h0); } .h1 { fill: var(--h1); } .h2 { fill: var(--h2); } .h3 { fill: var(--h3); } .h4 { fill: var(--h4); } .h5 { fill: var(--h5); } .h6 { fill: var(--h6); } .h7 { fill: var(--h7); } .h8 { fill: var(--h8); } .h9 { fill: var(--h9); }
svg .t0, svg .t8 { fill: var(--on0); } svg .t1, svg .t7 { fill: var(--on1); }
.curve { fill: none; stroke: var(--c); stroke-width: 1.7; stroke-linejoin: round; }
.band { fill: var(--c); opacity: 0.14; }
.whisker { fill: none; stroke: var(--c); stroke-width: 2; }
.pair { fill: none; stroke: var(--c); opacity: 0.75; }
.zero { stroke: var(--mark); stroke-width: 1.2; }
.dot { fill: var(--c); }
.span { fill: var(--c); } .span.behind { opacity: 0.35; }
.span.wait { fill: none; stroke: var(--c); stroke-width: 0.8; stroke-dasharray: 2 2; }
.hover { fill: transparent; }
.mark { fill: none; stroke: var(--mark); stroke-width: 1.8; }
.guide { stroke: var(--axis); stroke-dasharray: 3 3; }
.cross { stroke: var(--bad); stroke-width: 2; fill: none; }
rect.h9 { stroke: var(--bad); stroke-width: 0.8; }
path.h9 { fill: var(--none); }
.legend { margin: 0 0 6px; color: var(--faint); font-size: 12.5px; }
.legend span { margin-right: 10px; white-space: nowrap; }
.legend i { display: inline-block; background: var(--c); width: 18px; height: 3px; margin-right: 5px; vertical-align: middle; }
.legend.ramp span { margin: 0 10px 0 0; }
.legend.ramp i { width: 32px; height: 17px; margin: 0; font: 11px/17px sans-serif; text-align: center; color: var(--text); }
.ramp .b0 { background: var(--h0); } .ramp .b1 { background: var(--h1); } .ramp .b2 { background: var(--h2); } .ramp .b3 { background: var(--h3); } .ramp .b4 { background: var(--h4); } .ramp .b5 { background: var(--h5); } .ramp .b6 { background: var(--h6); } .ramp .b7 { background: var(--h7); } .ramp .b8 { background: var(--h8); }
.legend.ramp .b0, .legend.ramp .b8 { color: var(--on0); } .legend.ramp .b1, .legend.ramp .b7 { color: var(--on1); }
.legend.ramp .b9, .legend.ramp .b10 { margin: 0 6px 0 14px; width: 24px; background: var(--none); }
.legend.ramp .b9 { border: 1px solid var(--bad); color: var(--bad); background: none; font-size: 15px; line-height: 14px; }
th.name, td.name { text-align: left; }
td.name i { display: inline-block; background: var(--c); width: 10px; height: 10px; border-radius: 5px; margin-right: 7px; }
td.text { text-align: left; white-space: normal; }
img.sample { width: 56px; image-rendering: pixelated; vertical-align: middle; margin: 2px 8px 2px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
.scroll { overflow-x: auto; }
th, td { text-align: right; padding: 3px 9px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--faint); font-weight: 500; font-size: 12.5px; }
tbody tr:last-child td { border-bottom: 0; }
td.share { background: linear-gradient(to right, var(--bar) var(--part), transparent var(--part)); }
details { margin-top: 8px; }
summary { cursor: pointer; }
pre { font-size: 12.5px; }
footer { color: var(--faint); font-size: 12.5px; margin-top: 28px; }
)css";

}  // namespace moe
