// On a narrow page the sampler panel is a drawer at the bottom of the window.

const behind = '#talk, #masthead, #views > .tab-wrapper';
let panel;
let opener = null;

function open(opened) {
  panel.classList.toggle('open', opened);
  for (const node of document.querySelectorAll(behind)) node.inert = opened;
  document.querySelector('.drawer-open').setAttribute('aria-expanded', String(opened));
}

export function openDrawer() {
  if (getComputedStyle(panel).position !== 'fixed' || panel.classList.contains('open')) return;
  opener = document.activeElement;
  open(true);
  panel.querySelector('.drawer-close').focus({ preventScroll: true });
}

// Closes it; tells whether there was one to close.
export function closeDrawer() {
  if (!panel.classList.contains('open')) return false;
  open(false);
  opener?.focus();
  return true;
}

export function startDrawer(node) {
  panel = node;
  document.querySelector('.drawer-open').addEventListener('click', openDrawer);
  panel.querySelector('.drawer-close').addEventListener('click', closeDrawer);
  document.addEventListener('pointerdown', (event) => {
    if (!panel.contains(event.target) && !event.target.closest('dialog')) closeDrawer();
  });
}
