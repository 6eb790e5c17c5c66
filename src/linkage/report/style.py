"""How the page looks: in the light, in the dark, on a narrow screen and on paper; no colour is the only sign of anything."""

from __future__ import annotations

__all__ = ["STYLE"]

_LIGHT = """
--ground:#fff;--panel:#f6f7f9;--text:#1a202c;--quiet:#4a5568;--line:#cbd5e0;--bar:#2b6cb0;--track:#e8ecf1;
--alert:#9b2c2c;--alert-ground:#fff5f5;--link:#1a56a0;
--c0:#d97706;--c1:#a3bfdc;--c2:#6d9bcb;--c3:#336fae;--c4:#123f73;--cw:#8a94a3;
--s0:#2b6cb0;--s1:#5f6b7a;--s2:#b45309;--s3:#9d174d;--s4:#0f766e;--s5:#6d28d9;--s6:#8a94a3;
--m0:#fff;--m1:#dce8f5;--m2:#b3cfea;--m3:#7badd9;--m4:#3670aa;--m5:#174a80;--on-dark:#fff;--on-light:#1a202c;
"""
_DARK = """
--ground:#12161c;--panel:#1b2129;--text:#e6eaf0;--quiet:#a9b4c2;--line:#3b4654;--bar:#5b9bdc;--track:#2a323d;
--alert:#feb2b2;--alert-ground:#3a1d1f;--link:#90c2f7;
--c0:#f0a030;--c1:#34506f;--c2:#4679ad;--c3:#74abe0;--c4:#c3e0ff;--cw:#8a94a3;
--s0:#5b9bdc;--s1:#98a3b3;--s2:#f0a030;--s3:#f472b6;--s4:#34c3b1;--s5:#b794f6;--s6:#6b7686;
--m0:#12161c;--m1:#1d2f43;--m2:#264b70;--m3:#4a90c8;--m4:#7db8e4;--m5:#bcdcfb;--on-dark:#12161c;--on-light:#12161c;
"""
_CLASSES = "".join(
    f".{kind}{step}{{fill:var(--{kind}{step})}}"
    for kind, steps in (("c", "01234w"), ("s", "0123456"), ("m", "012345"))
    for step in steps
)

STYLE = (
    f":root{{color-scheme:light dark;{_LIGHT}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    f"@media print{{:root{{color-scheme:light;{_LIGHT}}}}}"
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,"Segoe UI",Arial,sans-serif}
main,header,footer{max-width:1120px;margin:0 auto;padding:0 20px}
header{padding-top:24px}
h1{font-size:26px;line-height:1.25;margin:0 0 4px}
h2{font-size:20px;margin:44px 0 6px;padding-top:10px;border-top:2px solid var(--line)}
h3{font-size:16px;margin:24px 0 4px}
p{margin:6px 0;max-width:78ch}
a{color:var(--link)}
.quiet,.note,.withheld,figcaption{color:var(--quiet)}
.note,figcaption{font-size:13.5px}
.withheld{font-style:italic;font-size:12.5px}
.exact{border:2px solid var(--alert);background:var(--alert-ground);color:var(--alert);padding:10px 14px;margin:14px 0}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:4px 18px;padding:0;margin:14px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;margin:16px 0;padding:0}
.tiles div{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:10px 14px}
.tiles dt{font-size:13px;color:var(--quiet)}
.tiles dd{margin:0;font-size:23px;font-weight:600;font-variant-numeric:tabular-nums}
figure{margin:0}
.scroll{overflow-x:auto;margin:8px 0}
.scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:2px solid var(--link);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:14px}
caption{text-align:left;color:var(--quiet);font-size:13.5px;padding:2px 0 6px}
th,td{padding:3px 12px 3px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{font-size:13px;color:var(--quiet);font-weight:600;vertical-align:bottom}
thead th.n{white-space:normal}
tbody th{font-weight:500;overflow-wrap:break-word}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.p{width:32%;min-width:150px}
.slim{width:14%;min-width:90px}
.wide{width:56%;min-width:280px}
.name{min-width:110px}
svg{display:block;overflow:visible}
td svg{width:100%;margin-top:3px}
svg text{fill:var(--text);font:12px system-ui,"Segoe UI",Arial,sans-serif}
svg text.q{fill:var(--quiet);font-size:11px}
svg text.on-dark{fill:var(--on-dark)}
svg text.on-light{fill:var(--on-light)}
.track{fill:var(--track)}
.bar{fill:var(--bar)}
.axis{stroke:var(--line);stroke-width:1}
.grid{stroke:var(--line);stroke-width:1;stroke-dasharray:2 3}
.limit{stroke:var(--alert);stroke-width:2}
.dot{fill:var(--bar)}
.no{fill:var(--track)}
.cell{stroke:var(--line);stroke-width:1}
.tie{stroke:var(--bar);stroke-width:2}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:2px 18px;padding:0;margin:8px 0;font-size:13.5px}
.key li{display:flex;align-items:center;gap:6px}
.key svg{width:14px;height:14px;flex:none}
details{margin:8px 0}
summary{cursor:pointer;padding:3px 0;color:var(--link)}
summary .quiet{font-size:13.5px}
footer{margin-top:48px;padding-bottom:40px;border-top:2px solid var(--line);padding-top:10px}
@media (max-width:640px){main,header,footer{padding-left:12px;padding-right:12px}.tiles dd{font-size:19px}th,td{padding-right:8px}}
@media print{
body{font-size:10.5pt}main,header,footer{max-width:none;padding-left:0;padding-right:0}nav{display:none}
figure svg{max-width:100%;height:auto}.scroll{overflow:visible}table{font-size:9pt}h2,h3,summary{break-after:avoid}
tr,figure,.tiles{break-inside:avoid}
details::details-content{content-visibility:visible;display:block}summary{color:var(--quiet)}a{color:inherit}
}
"""
    + _CLASSES
)
