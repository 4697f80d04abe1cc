"""What every page is asked in a browser: the rules of axe, and the contrast of every text."""

from __future__ import annotations

from pathlib import Path

import pytest

# The rules of levels A and AA, with those on trial, and not the contrast, which is computed below.
AXE = """
const done = arguments[arguments.length - 1];
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations'], preload: false,
                   rules: {'color-contrast': {enabled: false}, 'label-content-name-mismatch': {enabled: true}}})
   .then(found => done(found.violations.map(v => `${v.id}: ${v.nodes.length} x ${v.nodes[0].html.slice(0, 120)}`)));
"""
# Texts below 4.5 to 1, or 3 to 1 where letters are large (WCAG 1.4.3); half transparent grounds are added up.
FAINT = """
const parse = c => { const v = (c.match(/[\\d.]+/g) || []).map(Number); return v.length === 3 ? [...v, 1] : v };
const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
const light = c => c.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
const ground = e => { const layers = [];
  for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]) };
const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
const seen = e => own(e) && e.checkVisibility({opacityProperty: true, visibilityProperty: true}) &&
                  !e.closest('mjx-container, [aria-hidden=true], :disabled');
return [...document.querySelectorAll('body *')].filter(seen).map(e => {
  const style = getComputedStyle(e), size = parseFloat(style.fontSize), under = ground(e);
  const [a, b] = [light(over(parse(style.color), under)), light(under)];
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), large ? 3 : 4.5, e.textContent.trim().slice(0, 50)];
}).filter(([ratio, asked]) => ratio < asked - 0.005);
"""


def script() -> str:
    """The source of axe, which a page runs."""
    package = pytest.importorskip("axe_playwright_python", reason="axe is not installed")
    return (Path(package.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
