// The link to the set-up: what is set on the page, without what was said.

import { alertOf, copyButton, element, note } from '../lib/dom.js';
import { linkField } from './link_list.js';
import { currentPrompt, setupLink } from './setup_link.js';

export function setupSection() {
  const link = linkField('The link to this set-up');
  const prompt = element('input', { type: 'checkbox', disabled: currentPrompt() === '' });
  const problem = alertOf();
  const copy = copyButton('Copy the link', () => link.value);
  const show = () => {
    try {
      link.value = setupLink({ prompt: prompt.checked });
      problem.hidden = true;
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
    link.hidden = !problem.hidden;
    copy.hidden = !problem.hidden;
  };
  prompt.addEventListener('change', show);
  show();
  return element('div', { className: 'share-form' },
    note('The tab, its presets or edited values, the seed and the system text, all in the address itself: nothing is stored, and nothing that was said is in it. Whoever opens it can send a prompt of their own.'),
    element('label', { className: 'check' }, prompt, element('span', { textContent: 'With the prompt' })),
    link, problem, element('div', { className: 'row' }, copy));
}
