// A small row of tabs. What is in a tab is made when it is chosen, and may take a moment.

import { element } from './dom.js';

let made = 0;

// The arrow keys move between the tabs of a row, Home and End to its ends.
export function arrowsBetween(row) {
  row.addEventListener('keydown', (event) => {
    const tabs = [...row.querySelectorAll('[role="tab"]')];
    const now = tabs.indexOf(event.target);
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (now === -1 || next === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const tab = tabs.at(next % tabs.length);
    tab.click();
    tab.focus();
  });
}

// items: [{label, content()}], where content() gives nodes or a promise of them. first: the one that is
// shown first. chosen(): another one is shown.
export function tabs(label, items, { first = 0, chosen: told = () => {} } = {}) {
  made += 1;
  const id = `tabs-${made}`;
  const row = element('div', { className: 'small-tabs' });
  row.setAttribute('role', 'tablist');
  row.setAttribute('aria-label', label);
  const panel = element('div', { className: 'small-tab-panel', id: `${id}-panel` });
  panel.setAttribute('role', 'tabpanel');
  let asked = 0;

  async function choose(chosen) {
    buttons.forEach((tab, i) => {
      tab.setAttribute('aria-selected', String(i === chosen));
      tab.tabIndex = i === chosen ? 0 : -1;
    });
    panel.setAttribute('aria-labelledby', buttons[chosen].id);
    asked += 1;
    const turn = asked;
    const content = items[chosen].content();
    if (Array.isArray(content)) {
      panel.replaceChildren(...content);
      told();
      return;
    }
    panel.setAttribute('aria-busy', 'true');
    let nodes;
    try {
      nodes = await content;
    } catch (error) {
      nodes = [element('p', { className: 'note', textContent: error.message })];
    }
    if (turn !== asked) return;
    panel.removeAttribute('aria-busy');
    panel.replaceChildren(...nodes);
    told();
  }

  const buttons = items.map((item, i) => {
    const tab = element('button', { type: 'button', textContent: item.label, id: `${id}-${i}`, onclick: () => choose(i) });
    tab.setAttribute('role', 'tab');
    tab.setAttribute('aria-controls', panel.id);
    row.append(tab);
    return tab;
  });
  arrowsBetween(row);
  void choose(first);
  return element('div', {}, row, panel);
}
