// On a narrow page the sampler panel is a drawer at the bottom of the window.

import { $ } from '../lib/dom.js';
import { closeLayer, openLayer } from '../lib/layers.js';

const behind = '#talk, #masthead, #views > .tab-wrapper';
/** @type {HTMLElement} */
let panel;
/** @type {any} */
let opener = null;

function open(opened) {
  panel.classList.toggle('open', opened);
  for (const node of document.querySelectorAll(behind)) /** @type {HTMLElement} */ (node).inert = opened;
  $('.drawer-open').setAttribute('aria-expanded', String(opened));
}

export function openDrawer() {
  if (getComputedStyle(panel).position !== 'fixed' || panel.classList.contains('open')) return;
  opener = document.activeElement;
  open(true);
  $('.drawer-close', panel).focus({ preventScroll: true });
  openLayer(panel, closeDrawer);
}

function closeDrawer() {
  if (!panel.classList.contains('open')) return;
  open(false);
  opener?.focus();
  closeLayer(panel);
}

/** @param {HTMLElement} node */
export function startDrawer(node) {
  panel = node;
  $('.drawer-open').addEventListener('click', openDrawer);
  $('.drawer-close', panel).addEventListener('click', closeDrawer);
  document.addEventListener('pointerdown', ({ target }) => {
    if (target instanceof Element && !panel.contains(target) && !target.closest('dialog')) closeDrawer();
  });
}
