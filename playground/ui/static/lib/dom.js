// Small pieces of page.

/** @typedef {import('./icons.js').Icon} Icon */

import { icon } from './icons.js';

/**
 * The first element that matches. What is not there is a fault of the page.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {any}
 */
export function $(selector, root = document) {
  const node = root.querySelector(selector);
  if (node === null) throw new Error(`Nothing on this page is ${selector}.`);
  return node;
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Partial<Omit<HTMLElementTagNameMap[Tag], 'dataset' | 'style'>> & { dataset?: Record<string, string | undefined> }} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, properties = {}, ...children) {
  const { dataset, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  Object.assign(node.dataset, dataset);
  node.append(...children);
  return node;
}

const trusted = /** @type {any} */ (globalThis).trustedTypes?.createPolicy('rendered-markdown', { createHTML: (html) => html });

// A tag of a block that has the direction of its text, for which a browser reads all of it at every
// change in it, and so at every element that is put into it: it gets its direction when it is whole.
const directed = /(<\w+(?: [\w-]+="[^"]*")*) dir="auto"/g;

/**
 * The one way by which a text becomes elements: it is this server's Markdown, or the same grammar's
 * here, which lets no HTML of another's through. Where a page's policy asks for Trusted Types, any other way is an error.
 * @param {string} html
 * @param {string} className
 */
export function markdown(html, className) {
  const undirected = html.replace(directed, '$1 data-directed');
  const node = element('div', { className, innerHTML: trusted?.createHTML(undirected) ?? undirected });
  for (const block of [...node.querySelectorAll('[data-directed]')].reverse()) {
    block.removeAttribute('data-directed');
    block.setAttribute('dir', 'auto');
  }
  return node;
}

/**
 * @param {string} label
 * @param {() => unknown} onclick
 */
export function button(label, onclick, className = 'quiet') {
  return element('button', { type: 'button', className, textContent: label, onclick });
}

/**
 * A button that is an icon, named for who hears the page and for who points at it.
 * @param {Icon} drawn
 * @param {string} name
 * @param {() => unknown} onclick
 * @param {string} [told] What it does, where its name alone does not tell.
 */
export function iconButton(drawn, name, onclick, told = name) {
  const made = button('', onclick, 'quiet icon-button');
  made.append(icon(drawn));
  made.setAttribute('aria-label', name);
  made.title = told;
  return made;
}

/**
 * The same with its name in sight, for what nobody would know by an icon.
 * @param {Icon} drawn
 * @param {string} name
 * @param {() => unknown} onclick
 * @param {string} told
 */
export function wordedButton(drawn, name, onclick, told) {
  const made = button('', onclick, 'quiet icon-button worded');
  made.append(icon(drawn), element('span', { textContent: name }));
  made.title = told;
  return made;
}

// Copies a text; whether it did. Without a secure context browsers have no clipboard API; the old
// command still works there.
async function copied(text, beside) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element('textarea', { value: text, className: 'visually-hidden' });
    beside.after(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    beside.focus();
    return done;
  }
}

const refused = 'Copying is not allowed here';
const told = 1500; // ms for which a button says that it has copied

/**
 * A button that copies what `text()` gives, and says so.
 * @param {string} label
 * @param {() => string} text
 */
export function copyButton(label, text, className = 'quiet') {
  const copy = button(label, async () => {
    copy.textContent = await copied(text(), copy) ? 'Copied' : refused;
    setTimeout(() => { copy.textContent = label; }, told);
  }, className);
  return copy;
}

/**
 * The same as an icon.
 * @param {() => string} text
 */
export function copyIcon(text) {
  const show = (drawn, name) => {
    copy.replaceChildren(icon(drawn));
    copy.setAttribute('aria-label', name);
    copy.title = name;
  };
  const copy = iconButton('copy', 'Copy', async () => {
    const done = await copied(text(), copy);
    show(done ? 'done' : 'copy', done ? 'Copied' : refused);
    setTimeout(() => show('copy', 'Copy'), told);
  });
  return copy;
}

// Writes into a field as a reader does.
export function write(field, text) {
  field.value = text;
  field.dispatchEvent(new Event('input', { bubbles: true }));
}

// A phone has no Shift+Enter: there Enter breaks the line, and the button sends.
const phone = matchMedia('(hover: none) and (pointer: coarse)');

// The Enter that takes an input method's word: WebKit ends the composition before it.
export const takesWord = ({ isComposing, keyCode }) => isComposing || keyCode === 229;

// Enter sends and Shift+Enter breaks the line; Ctrl+Enter and ⌘+Enter send on every keyboard.
export function isSend(event) {
  if (event.key !== 'Enter' || event.shiftKey || takesWord(event)) return false;
  return !phone.matches || event.ctrlKey || event.metaKey;
}

// Says on the keyboard of a phone what its Enter does.
export function labelEnter(area) {
  if (phone.matches) area.enterKeyHint = 'enter';
}

const hasty = 500; // ms, the longest that two clicks are one gesture

// A Stop takes the place of a Send: the second click of two on the Send is none on it.
export function onStop(stop, send, run) {
  let sent = -Infinity;
  send.addEventListener('click', ({ detail }) => { if (detail > 0) sent = performance.now(); }); // 0: by the keyboard
  stop.addEventListener('click', ({ detail }) => {
    if (detail === 0 || performance.now() - sent > hasty) run();
  });
}

// The second click of two is none on what has taken the place, or the meaning, of what the first was on.
export function onceOfTwo(row) {
  row.addEventListener('click', (event) => {
    if (event.detail < 2) return;
    event.stopImmediatePropagation();
    event.preventDefault();
  }, { capture: true });
}

// In the next frame: what is observed around a field changes by it.
const unseen = new ResizeObserver((entries) => requestAnimationFrame(() => {
  for (const { target } of entries) if (target.checkVisibility()) fit(target);
}));

// As tall as its text, up to the stylesheet's max-height. A field that is not shown has no height to
// measure: it gets its own when it is.
export function fit(area) {
  if (!area.checkVisibility()) {
    unseen.observe(area);
    return;
  }
  unseen.unobserve(area);
  area.style.height = 'auto';
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}

// Calls `found` with every element that matches, now and whenever one is added under `root`.
export function whenAdded(root, selector, found) {
  const seen = new WeakSet();
  const look = () => {
    for (const node of root.querySelectorAll(selector)) {
      if (seen.has(node)) continue;
      seen.add(node);
      found(node);
    }
  };
  look();
  new MutationObserver(look).observe(root, { childList: true, subtree: true });
}

export const note = (text) => element('p', { className: 'note', textContent: text });

// What went wrong, told at once; hidden while there is nothing to tell.
export function alertOf(text = '') {
  const node = element('p', { className: 'problems', textContent: text, hidden: text === '' });
  node.setAttribute('role', 'alert');
  return node;
}
