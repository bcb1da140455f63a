// What lies over the page: windows, menus, the drawer, help.
//
// Escape closes the topmost, and so does the browser's Back: each has an entry of the history above that
// of the place below it, with how many there are, {layers}. What is closed in another way takes its entry
// along, by going back over it. So is one left at once whose layer is closed, as Forward or a reload finds it.

import { takesWord } from './dom.js';

/** @typedef {{ node: Element, close: () => void, entry: boolean }} Layer */
/** @type {Layer[]} */
let open = []; // the topmost last
let leaving = false; // whether the browser is on its way over entries whose layers are closed

// What else an entry says, where a page has addresses. ready(): whether it can be said. write(): says it.
// went(closed): the reader went to another entry, which has closed a layer or not. later(): settles again.
const address = { ready: () => true, write: () => {}, went: (/** @type {boolean} */ _closed) => {}, later: () => {} };

/** @param {Partial<typeof address>} given */
export const withAddress = (given) => { Object.assign(address, given); };

// How many layers the entry has that the browser is at.
export const covered = () => history.state?.layers ?? 0;

const entries = () => open.filter(({ entry }) => entry);
const vanished = () => open.some(({ node }) => !node.checkVisibility());

// What is hidden, or replaced with what it belongs to, is closed without a word.
const watching = new ResizeObserver(() => { if (vanished()) settle(); });

/** @param {Element} node */
function drop(node) {
  watching.unobserve(node);
  open = open.filter((layer) => layer.node !== node);
}

function step() {
  const layers = entries().length;
  const over = covered() - layers;
  if (over > 0) {
    leaving = true;
    history.go(-over);
    return;
  }
  address.write();
  if (over === 0) return;
  if (history.state === null) history.replaceState({ layers: 0 }, ''); // it is no link that somebody opens
  for (let n = covered() + 1; n <= layers; n += 1) history.pushState({ ...history.state, layers: n }, '');
  address.write();
}

// Brings the entry that the browser is at in line with what is open, and with its address.
export function settle() {
  for (const { node } of open) if (!node.checkVisibility()) drop(node);
  if (leaving || !address.ready()) return;
  try {
    step();
  } catch {
    address.later(); // so many that the browser refuses them, as by a key that is held down
  }
}

/**
 * Tells that something is open, which Escape closes. entry: whether Back does, too.
 * @param {Element} node
 * @param {() => void} close
 */
export function openLayer(node, close, { entry = true } = {}) {
  drop(node);
  open.push({ node, close, entry });
  watching.observe(node);
  if (entry) settle();
}

// Tells that it is closed.
export function closeLayer(node) {
  const layer = open.find((each) => each.node === node);
  if (!layer) return;
  drop(node);
  if (layer.entry) settle();
}

document.addEventListener('keydown', (event) => {
  const top = event.key === 'Escape' && !takesWord(event) && open.findLast(({ node }) => node.checkVisibility());
  if (!top) return;
  event.preventDefault();
  event.stopPropagation(); // it does nothing else, such as stop an answer
  top.close();
}, { capture: true });

addEventListener('popstate', () => {
  const asked = leaving && history.state !== null;
  if (asked) {
    leaving = false;
    settle();
    return;
  }
  const closed = entries().filter(({ node }) => node.checkVisibility()).slice(covered()).reverse();
  for (const { node, close } of closed) {
    drop(node);
    close();
  }
  if (history.state === null) return; // a link, which is opened next
  if (covered() > entries().length) settle();
  else address.went(closed.length > 0);
});
