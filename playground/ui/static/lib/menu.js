// A button that opens a short list of further buttons.

import { $, button, element, onceOfTwo } from './dom.js';
import { closeLayer, openLayer } from './layers.js';

// items(): [{label, run, hidden, current, last}] or a promise of it, asked for each time that the list opens.
// told: the whole of a label that is cut. facts: what stands small below it. current: the one that holds now. last: it stands apart. face: what the button shows.
/** @typedef {{ label: string, run: () => unknown, told?: string, facts?: string, hidden?: boolean, current?: boolean, last?: boolean }} Item */
/**
 * @param {string} label
 * @param {() => Item[] | Promise<Item[]>} items
 * @param {string | Node} face
 */
export function menu(label, items, face = '⋯') {
  const list = element('div', { className: 'menu-list', hidden: true });
  const opener = button('', () => (list.hidden ? open() : close()), 'quiet menu-open');
  onceOfTwo(opener);
  opener.append(face);
  opener.title = label;
  const node = element('span', { className: 'menu' }, opener, list);
  opener.setAttribute('aria-label', label);
  opener.setAttribute('aria-expanded', 'false');

  const outside = ({ target }) => {
    if (!node.contains(target)) close();
  };

  /** @param {Item} item */
  function itemButton({ label: words, told = words, facts, run, current = false, last = false }) {
    const item = button(words, () => { close(); run(); }, `quiet menu-item${last ? ' last' : ''}`);
    item.title = told; // a narrow page cuts a label, too
    if (facts) item.append(' ', element('small', { textContent: facts }));
    if (current) item.setAttribute('aria-current', 'true');
    return item;
  }

  function open() {
    const found = items();
    if (Array.isArray(found)) show(found);
    else void found.then(show);
  }

  /** @param {Item[]} found */
  function show(found) {
    document.addEventListener('pointerdown', outside);
    list.replaceChildren(...found.filter((item) => !item.hidden).map(itemButton));
    list.hidden = false;
    opener.setAttribute('aria-expanded', 'true');
    $('button', list).focus();
    openLayer(list, close);
  }

  function close() {
    document.removeEventListener('pointerdown', outside);
    const within = list.contains(document.activeElement);
    list.hidden = true;
    opener.setAttribute('aria-expanded', 'false');
    if (within) opener.focus();
    closeLayer(list);
  }

  node.addEventListener('keydown', (event) => {
    if (list.hidden) return;
    const buttons = [...list.querySelectorAll('button')];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = buttons.indexOf(/** @type {any} */ (document.activeElement)) + step;
    buttons.at(next % buttons.length)?.focus();
  });
  node.addEventListener('focusout', (event) => {
    if (event.relatedTarget instanceof Node && !node.contains(event.relatedTarget)) close();
  });
  return node;
}
