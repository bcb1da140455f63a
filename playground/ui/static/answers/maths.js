// Maths of an answer: TeX, which comes as `code.math`, becomes MathML, which a browser sets without
// a font or a script of ours. What cannot be read stays as it was written.

import { element } from '../lib/dom.js';

const files = new URL('../vendor/temml', import.meta.url).href;

/** @type {any} */
let temml = null;
let loading = false;
/** @type {Map<string, Element | null>} */
const known = new Map(); // what was made of a formula
const most = 500;
const maxSize = [30, 400]; // em and pt: of a rule or a gap that a formula asks for

/**
 * Sets the maths within a node; later, where what sets it is still to be fetched.
 * @param {ParentNode} node
 */
export function setMaths(node) {
  const codes = node.querySelectorAll('code.math:not(.open)');
  if (codes.length === 0) return;
  if (temml === null) {
    if (!loading) void load();
    return;
  }
  const blocks = directed(codes);
  for (const block of blocks) block.removeAttribute('dir');
  for (const code of codes) {
    const made = formula(code.textContent ?? '', code.classList.contains('display'));
    if (made) code.replaceWith(made.cloneNode(true));
  }
  for (const block of blocks) block.setAttribute('dir', 'auto');
}

// The blocks around these nodes that have the direction of their text, for which a browser reads all of
// it at every change in it: 12,000 formulas in a paragraph took twelve seconds.
function directed(nodes) {
  /** @type {Set<Element>} */
  const found = new Set();
  for (const node of nodes) {
    for (let each = node.closest('[dir=auto]'); each && !found.has(each); each = each.parentElement?.closest('[dir=auto]')) found.add(each);
  }
  return found;
}

async function load() {
  loading = true;
  document.head.append(element('link', { rel: 'stylesheet', href: `${files}.css` }));
  try {
    await import(`${files}.js`);
    ({ temml } = /** @type {any} */ (globalThis));
    setMaths(document);
  } catch {
    loading = false; // the next formula tries again
  }
}

function formula(tex, display) {
  const key = `${display} ${tex}`;
  if (!known.has(key)) {
    if (known.size >= most) known.clear();
    known.set(key, make(tex, display));
  }
  return known.get(key);
}

function make(tex, display) {
  const node = element('span', { className: display ? 'math display' : 'math', dir: 'ltr' });
  try {
    temml.render(tex, node, { displayMode: display, throwOnError: true, trust: false, maxSize });
  } catch {
    return null;
  }
  // A rule has the colour of the text beside it, on light and dark, unless the formula gives it one.
  for (const rule of node.querySelectorAll('mspace[mathbackground="black"]')) {
    if (!/\\(?:text)?color\b/.test(tex)) rule.setAttribute('mathbackground', 'currentcolor');
  }
  if (display) node.tabIndex = 0; // it may be wider than the page
  return [...node.querySelectorAll('*')].every(harmless) ? node : null;
}

// Whether it is MathML that only says how a formula looks.
function harmless({ namespaceURI, attributes }) {
  return namespaceURI === 'http://www.w3.org/1998/Math/MathML'
    && [...attributes].every(({ name, value }) => !/^on|href|src/i.test(name) && !/url\s*\(/i.test(value));
}
