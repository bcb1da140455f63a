// Light or dark: as the system has it, or as it was chosen in this browser.

import { menu } from './menu.js';
import { load, save } from './storage.js';

const themes = { system: 'As the system', light: 'Light', dark: 'Dark' };
const dark = matchMedia('(prefers-color-scheme: dark)');
let chosen = 'system';

// Gradio has its dark colours where the body says so; a page without Gradio follows the system by itself.
function apply() {
  const { classList } = document.body;
  const plain = classList.contains('plain');
  classList.toggle('dark', chosen === 'dark' || (chosen === 'system' && dark.matches && !plain));
  classList.toggle('light', plain && chosen === 'light');
}

// Holds the page to what was chosen; Gradio sets its own while it draws, and when the system changes.
export function startTheme() {
  const kept = load('theme', 'system');
  if (Object.hasOwn(themes, kept)) chosen = kept;
  apply();
  new MutationObserver(apply).observe(document.body, { attributeFilter: ['class'] });
  dark.addEventListener('change', apply);
}

export function themeMenu() {
  return menu('Light or dark', () => Object.entries(themes).map(([theme, label]) => ({
    label,
    current: theme === chosen,
    run: () => {
      chosen = theme;
      apply();
      save('theme', theme);
    },
  })), '◐');
}
