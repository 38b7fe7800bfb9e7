"""The style sheet of the HTML page: light and dark, printable, no script, nothing from elsewhere."""

CSS = """
:root{color-scheme:light dark;--for:202 0 32;--against:5 113 176;--ink:#202124;--muted:#686d76;
--paper:#fff;--rule:#e0e3e7;--alarm:#b06000;--seen:#fff}
@media (prefers-color-scheme:dark){:root{--for:239 83 96;--against:73 160 219;--ink:#e8eaed;
--muted:#9aa0a6;--paper:#17181b;--rule:#3a3d42;--alarm:#fdb863;--seen:#26282c}}
*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:60rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;print-color-adjust:exact;
-webkit-print-color-adjust:exact}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 1rem}
h2{font-size:1.35rem;line-height:1.2;margin:0 0 .25rem}
section{border-top:1px solid var(--rule);padding-top:1.5rem;margin-top:2rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1.25rem;margin:0;font-size:.9rem}
dt,.muted,figcaption{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
.alarm{color:var(--alarm);font-weight:600}
.score{margin:0 0 1.25rem;color:var(--muted)}
figure{margin:0 0 1.5rem}
figcaption{font-size:.85rem;margin-top:.35rem}
.pair{display:flex;flex-wrap:wrap;gap:1rem}
.pair>div{flex:1 1 20rem;max-width:28rem;position:relative}
.three>div{flex-basis:14rem}
.photo,.over{display:block;width:100%;image-rendering:pixelated;border-radius:4px}
.photo{background-size:100% 100%}
.grey{filter:grayscale(1) contrast(.78) brightness(1.05)}
.over{position:absolute;inset:0;height:100%}
.alone{display:block;max-width:28rem;image-rendering:pixelated;width:100%;background:var(--seen);border-radius:4px}
.scale{display:flex;align-items:center;gap:.6rem;font-size:.85rem;color:var(--muted);margin:.75rem 0 0}
.scale i{flex:0 0 12rem;height:.75rem;border-radius:3px;background:linear-gradient(90deg,
rgb(var(--against)/var(--tint)),transparent,rgb(var(--for)/var(--tint)))}
.scale .half{flex-basis:6rem;background:linear-gradient(90deg,transparent,rgb(var(--for)/var(--tint)))}
.scale span{font-variant-numeric:tabular-nums}
.text{font-size:1.15rem;line-height:1.9;white-space:pre-wrap;overflow-wrap:anywhere;margin:0}
mark{color:inherit;border-radius:4px;padding:.12em .1em;background:rgb(var(--for)/var(--a))}
mark.n{background:rgb(var(--against)/var(--a))}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th{font-weight:400;text-align:right;padding:.2rem .75rem .2rem 0;max-width:20rem;overflow-wrap:anywhere}
td{padding:.2rem 0}
td+td{text-align:right;white-space:nowrap;padding-left:.75rem;font-variant-numeric:tabular-nums}
.b{width:60%;background:linear-gradient(var(--rule),var(--rule)) 50%/2px 100% no-repeat}
.b div{position:relative;height:1.1rem}
.b i{position:absolute;top:0;bottom:0;left:50%;width:var(--w);background:rgb(var(--for))}
.b .n{left:auto;right:50%;background:rgb(var(--against))}
.b b{position:absolute;top:50%;height:2px;margin-top:-1px;background:var(--ink)}
.grid th,.grid td{text-align:left;white-space:normal;padding:.2rem .75rem .2rem 0}
.grid th{color:var(--muted);border-bottom:1px solid var(--rule)}
.channel{display:grid;grid-template-columns:7rem 1fr;gap:.75rem;align-items:center;margin-bottom:.5rem;
font-size:.85rem}
.plot{position:relative;height:6.5rem;border:1px solid var(--rule);border-radius:4px;overflow:hidden}
.plot img,.plot svg{position:absolute;inset:0;width:100%;height:100%}
.plot img{image-rendering:pixelated}
.plot polyline{fill:none;stroke:var(--ink);stroke-width:1.5;vector-effect:non-scaling-stroke}
@media (max-width:36rem){.b{width:40%}.channel{grid-template-columns:1fr}}
"""
