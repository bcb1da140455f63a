// A window over the page.

import { $, button, element } from './dom.js';
import { closeLayer, openLayer } from './layers.js';

// Opens it with this content and gives it back; it is gone when it is closed.
export function openDialog(title, ...content) {
  const heading = element('h2', { textContent: title, id: 'dialog-title' });
  const window = element('dialog', { className: 'window' },
    element('div', { className: 'window-head' }, heading, button('Close', () => window.close())),
    ...content);
  window.setAttribute('aria-labelledby', 'dialog-title');
  window.addEventListener('close', () => {
    window.remove();
    closeLayer(window);
  });
  $('.gradio-container').append(window);
  window.showModal();
  openLayer(window, () => window.close());
  return window;
}
