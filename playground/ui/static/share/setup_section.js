// The set-up link: what is set on the page, without what was said.

import { alertOf, copyButton, element, note } from '../lib/dom.js';
import { linkField, reachOf } from './link_list.js';
import { currentPrompt, setupLink } from './setup_link.js';

export function setupSection() {
  const link = linkField('The link to these settings');
  const prompt = element('input', { type: 'checkbox', disabled: currentPrompt() === '' });
  const problem = alertOf();
  const copy = copyButton('Copy the link', () => link.value, 'primary');
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
    note('Whoever opens the link has the tab, the presets or edited values, the seed and the system text as they are here, and writes a prompt of their own. All of it stands in the address: nothing is stored, and nothing that was said is in it.'),
    element('label', { className: 'check' }, prompt, element('span', { textContent: 'With the prompt' })),
    link, problem, element('div', { className: 'row' }, copy), ...reachOf(location.href));
}
