// A link that was made, and the list of those that one has made.

import { alertOf, button, copyButton, element, note } from '../lib/dom.js';

// A field to copy an address from.
export function linkField(label, address = '') {
  const link = element('input', { type: 'text', className: 'name-field', readOnly: true, value: address });
  link.setAttribute('aria-label', label);
  link.addEventListener('focus', () => link.select());
  return link;
}

// Where only this computer finds itself.
const here = /^(?:localhost|.+\.localhost|127(?:\.\d+){3}|0\.0\.0\.0|\[::1?\])$/;

/**
 * That nobody else can open a link, where it leads to this computer only.
 * @param {string} address
 * @returns {Node[]}
 */
export function reachOf(address) {
  const { hostname } = new URL(address);
  if (!here.test(hostname)) return [];
  const node = note(`Nobody else can open this link: ${hostname} is this computer. Open the playground at an address that others reach, and share from there. “playground demo --tunnel” or “playground serve --tunnel” makes one for a while, with a login, or with --open beside it, which lets everybody in.`);
  node.classList.add('reach');
  return [node];
}

// The way to what a link of the list leads to.
export function openLink(href, title) {
  const link = element('a', { href, target: '_blank', rel: 'noopener', textContent: 'Open' });
  link.setAttribute('aria-label', `Open ${title}`);
  return link;
}

// Shows a link that has just been made in `node`, to be copied. beside: what is said below it.
export function showLink(node, title, address, ...beside) {
  const copy = copyButton('Copy the link', () => address, 'primary');
  node.replaceChildren(element('h3', { textContent: title }), linkField('The link', address),
    element('div', { className: 'row' }, copy,
      element('a', { href: address, target: '_blank', rel: 'noopener', textContent: 'Open it' })),
    ...reachOf(address), ...beside);
  copy.focus();
  node.scrollIntoView({ block: 'nearest' });
}

// {node, show(words)}: show reads the links anew and says something above them.
//
// read(): the links. row(link, show): a link's item. below(links): what is said under the list.
export function linkList(read, row, below) {
  const node = element('div', { className: 'links' });
  async function show(words = '') {
    node.setAttribute('aria-busy', 'true');
    const said = words === '' ? [] : [element('p', { className: 'done', textContent: words })];
    said[0]?.setAttribute('role', 'status');
    try {
      const links = await read();
      const rows = links.length > 0 ? [element('ul', {}, ...links.map((link) => row(link, show)))] : [];
      node.replaceChildren(...said, ...rows, ...below(links));
    } catch (error) {
      node.replaceChildren(...said, alertOf(error.message), button('Try again', () => show()));
    }
    node.removeAttribute('aria-busy');
  }
  return { node, show };
}
