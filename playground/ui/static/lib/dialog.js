// A window over the page.

import { $, button, element } from './dom.js';

// Opens it with this content and gives it back; it is gone when it is closed.
export function openDialog(title, ...content) {
  const heading = element('h2', { textContent: title, id: 'dialog-title' });
  const window = element('dialog', { className: 'window' },
    element('div', { className: 'window-head' }, heading, button('Close', () => window.close())),
    ...content);
  window.setAttribute('aria-labelledby', 'dialog-title');
  window.addEventListener('close', () => window.remove());
  window.addEventListener('keydown', (event) => { if (event.key === 'Escape') event.stopPropagation(); });
  $('.gradio-container').append(window);
  window.showModal();
  return window;
}
