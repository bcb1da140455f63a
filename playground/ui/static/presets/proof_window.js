// The test of the samplers: it asks first, shows how far it is, and can be stopped.

import { proofProgress, prove } from '../engine/parameter_support.js';
import { pause } from '../lib/api.js';
import { openDialog } from '../lib/dialog.js';
import { button, element } from '../lib/dom.js';

// Shows how many answers there are, until the signal ends it. Another process of the server tells none.
async function follow(bar, words, signal) {
  let most = 0;
  while (!signal.aborted) {
    const { answers, about } = await proofProgress().catch(() => ({ answers: 0, about: 0 }));
    if (signal.aborted) return;
    if (answers > most) {
      most = answers;
      bar.max = Math.max(about, answers);
      bar.value = answers;
      words.textContent = `${answers} of about ${about} answers`;
    }
    await pause(1, signal);
  }
}

// proven(): the engine's parameters are told anew.
export function openProof(proven) {
  const about = element('p', { textContent: 'The engine is asked for some 260 short answers, with each parameter and without. What comes back shows which of them take effect: seconds on a GPU, minutes on a CPU.' });
  const bar = element('progress');
  bar.setAttribute('aria-label', 'Answers so far');
  const words = element('span', { textContent: 'Waiting for the first answer' });
  const progress = element('div', { className: 'progress', hidden: true }, bar, words);
  const said = element('p');
  said.setAttribute('role', 'status');
  const buttons = element('div', { className: 'row' });
  const window = openDialog('Test the samplers on this engine', about, buttons, progress, said); // the buttons stay where they are
  /** @type {AbortController | null} */
  let running = null;

  async function run() {
    const controller = new AbortController();
    running = controller;
    progress.hidden = false;
    buttons.replaceChildren(button('Stop', () => controller.abort(), 'primary'));
    buttons.querySelector('button')?.focus();
    void follow(bar, words, controller.signal);
    try {
      said.textContent = await prove(controller.signal);
      proven();
    } catch (error) {
      said.textContent = controller.signal.aborted ? 'Stopped: nothing was found out.' : error.message;
    }
    controller.abort(); // ends what follows it
    progress.hidden = true;
    buttons.replaceChildren(button('Close', () => window.close(), 'primary'));
    buttons.querySelector('button')?.focus();
  }

  window.addEventListener('close', () => running?.abort());
  buttons.append(button('Start', () => void run(), 'primary'), button('Cancel', () => window.close()));
}
