// A button that opens a short list of further buttons.

import { $, button, element } from './dom.js';

// items(): [{label, run, hidden}], asked for each time that the list opens. face: what the button shows.
/**
 * @param {string} label
 * @param {() => { label: string, run: () => unknown, hidden?: boolean }[]} items
 * @param {string | Node} face
 */
export function menu(label, items, face = '⋯') {
  const list = element('div', { className: 'menu-list', hidden: true });
  const opener = button('', () => (list.hidden ? open() : close()), 'quiet menu-open');
  opener.append(face);
  opener.title = label;
  const node = element('span', { className: 'menu' }, opener, list);
  opener.setAttribute('aria-label', label);
  opener.setAttribute('aria-expanded', 'false');

  const outside = ({ target }) => {
    if (!node.contains(target)) close();
  };

  function open() {
    document.addEventListener('pointerdown', outside);
    list.replaceChildren(...items().filter((item) => !item.hidden).map((item) => (
      button(item.label, () => { close(); item.run(); }, 'quiet menu-item'))));
    list.hidden = false;
    opener.setAttribute('aria-expanded', 'true');
    $('button', list).focus();
  }

  function close() {
    document.removeEventListener('pointerdown', outside);
    list.hidden = true;
    opener.setAttribute('aria-expanded', 'false');
    if (list.contains(document.activeElement)) opener.focus();
  }

  node.addEventListener('keydown', (event) => {
    if (list.hidden) return;
    const buttons = [...list.querySelectorAll('button')];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') {
      event.stopPropagation();
      opener.focus();
      close();
    } else if (step) {
      event.preventDefault();
      const next = buttons.indexOf(/** @type {any} */ (document.activeElement)) + step;
      buttons.at(next % buttons.length)?.focus();
    }
  });
  node.addEventListener('focusout', (event) => {
    if (event.relatedTarget instanceof Node && !node.contains(event.relatedTarget)) close();
  });
  return node;
}
