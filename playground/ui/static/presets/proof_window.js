// The test of the samplers: it asks first, shows how far it is, and can be stopped.

import { proofProgress, proofWords, prove } from '../engine/proof.js';
import { pause } from '../lib/api.js';
import { openDialog } from '../lib/dialog.js';
import { $, button, element } from '../lib/dom.js';

// Shows how many answers there are, until the signal ends it. Another process of the server tells none.
async function follow(bar, words, signal) {
  let most = 0;
  bar.removeAttribute('value');
  words.textContent = 'Waiting for the first answer';
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

export function openProof() {
  const asks = element('p', { textContent: 'The engine is asked for some 260 short answers, with each parameter and without. What comes back shows which of them take effect: seconds on a GPU, minutes on a CPU.' });
  const said = element('p');
  said.setAttribute('role', 'status');
  const bar = element('progress');
  bar.setAttribute('aria-label', 'Answers so far');
  const words = element('span');
  const progress = element('div', { className: 'progress' }, bar, words);
  const buttons = element('div', { className: 'row' });
  const window = openDialog('Test the samplers on this engine', asks, buttons, progress, said); // the buttons stay where they are
  window.classList.add('proof');
  /** @type {AbortController | null} */
  let running = null;

  /** @param {string} outcome */
  function offer(outcome) {
    said.textContent = outcome;
    progress.hidden = true;
    buttons.replaceChildren(button(proofWords() === '' ? 'Start' : 'Test again', () => void run(), 'primary'));
  }

  async function run() {
    const controller = new AbortController();
    running = controller;
    said.textContent = '';
    progress.hidden = false;
    buttons.replaceChildren(button('Stop', () => controller.abort(), 'primary'));
    buttons.querySelector('button')?.focus();
    void follow(bar, words, controller.signal);
    try {
      offer(`${await prove(controller.signal)} The “?” of each parameter and the tab About say what was seen.`);
    } catch (error) {
      offer(controller.signal.aborted ? `Stopped: nothing was found out. ${proofWords()}`.trim() : error.message);
    }
    controller.abort(); // ends what follows it
    $('.window-head button', window).focus();
  }

  window.addEventListener('close', () => running?.abort());
  offer(proofWords());
}
