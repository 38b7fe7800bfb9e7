"""What an audit's report adds to the style sheet of a single explanation."""

CSS = """
h3{font-size:1rem;margin:1.25rem 0 .35rem}
.lead{font-size:1.1rem;max-width:46rem;margin:0 0 1.25rem}
.lead li{margin-bottom:.35rem}
.figures{display:flex;flex-wrap:wrap;gap:.75rem 2.5rem;margin:0 0 1.5rem}
.figures div{min-width:7rem}
.figures b{display:block;font-size:1.6rem;font-weight:600;line-height:1.2;font-variant-numeric:tabular-nums}
.figures span{color:var(--muted);font-size:.85rem}
.shares th{text-align:left;width:11rem}
.shares thead th{color:var(--muted);border-bottom:1px solid var(--rule);text-align:left}
.shares td{text-align:left;padding:.2rem .75rem .2rem 0}
.s{position:relative;display:flex;align-items:center;gap:.5rem}
.s i{display:block;height:.85rem;background:rgb(var(--against));border-radius:2px;width:var(--w);flex:none}
.s span{font-variant-numeric:tabular-nums}
.apart{font-weight:700}
.cases{display:grid;grid-template-columns:repeat(auto-fill,minmax(24rem,1fr));gap:1.5rem 2rem}
.case{break-inside:avoid}
.case h3{margin-top:0}
.sheet{display:block;width:100%;border:1px solid var(--rule);border-radius:4px}
.note{color:var(--muted);font-size:.9rem;max-width:46rem}
@media (max-width:36rem){.cases{grid-template-columns:1fr}}
@media print{section{break-inside:avoid-page}}
"""
