// Starts the page once Gradio has drawn its frame.

import { startAbout } from './about.js';
import { Chat } from './chat.js';
import { whenAdded } from './dom.js';
import { watchEngine } from './engine.js';
import { startSamplers } from './samplers.js';

function start() {
  const chat = new Chat();
  startSamplers(() => chat.meter());
  chat.start();
  startAbout();
  // Gradio draws the tab when it is first opened; until then its modules are not loaded.
  whenAdded(document.getElementById('views'), '#comparison', async () => {
    (await import('./comparison.js')).startComparison(chat);
  });
  watchEngine();
  document.documentElement.dataset.playground = 'ready';
}

function drawn() {
  return ['#engine-state', '#chat-prompt', '.preset', '#request-form'].every((selector) => document.querySelector(selector));
}

const watching = new MutationObserver(() => drawn() && (watching.disconnect(), start()));
if (drawn()) start();
else watching.observe(document.body, { childList: true, subtree: true });
