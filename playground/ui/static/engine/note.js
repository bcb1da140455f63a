// Above a composer, why the engine cannot answer and how far it is; and the same at the button that
// sends, for whoever is there.

import { $, element } from '../lib/dom.js';
import { areSeveral } from './choice.js';
import { progressBar } from './progress.js';
import { onEngine } from './state.js';

// What the last answer says already is not said twice.
function told(root, reason) {
  return [...root.querySelectorAll('.log')].some((log) => {
    const problem = log.lastElementChild?.querySelector('.problem');
    return problem?.checkVisibility() && problem.textContent.includes(reason);
  });
}

// note: empty, in a dock with its form. root: with the answers above it. Columns with engines of their
// own say it themselves.
export function startNote(note, root) {
  const words = element('p');
  words.setAttribute('role', 'status');
  const bar = progressBar();
  const columns = root.matches('.comparison');
  note.append(words, bar.node);
  const send = $('[type="submit"]', note.parentElement);
  onEngine(({ state, reason, progress, refused }) => {
    // A refusal is told above the tabs.
    const away = !['ready', 'unknown'].includes(state) && refused === undefined && !(columns && areSeveral());
    words.hidden = !away || told(root, reason);
    note.hidden = words.hidden && !(away && progress);
    if (words.textContent !== reason) words.textContent = reason;
    bar.show(away ? progress : null);
    send.title = away ? reason : '';
    if (away) send.setAttribute('aria-description', `It will not be answered yet: ${reason}`);
    else send.removeAttribute('aria-description');
  });
}
