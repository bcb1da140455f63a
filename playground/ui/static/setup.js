// The link to the set-up: what is set on the page, without what was said.

import { copyButton, element } from './dom.js';
import { currentPrompt, setupLink } from './links.js';

export function setupSection() {
  const link = element('input', { type: 'text', className: 'name-field', readOnly: true });
  link.setAttribute('aria-label', 'The link to this set-up');
  link.addEventListener('focus', () => link.select());
  const prompt = element('input', { type: 'checkbox', disabled: currentPrompt() === '' });
  const problem = element('p', { className: 'problems', hidden: true });
  problem.setAttribute('role', 'alert');
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
    element('p', { className: 'note', textContent: 'The tab, its presets or edited values, the seed and the system text, all in the address itself: nothing is stored, and nothing that was said is in it. Whoever opens it can send a prompt of their own.' }),
    element('label', { className: 'check' }, prompt, element('span', { textContent: 'With the prompt' })),
    link, problem, element('div', { className: 'row' }, copy));
}
