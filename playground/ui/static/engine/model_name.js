// The model that answers, in the page's header. Until one is known the product's name stands there,
// and while the engine is away the name of the one that answered last.

import { $ } from '../lib/dom.js';

/** @param {ModelLabel} label */
export function nameModel({ title, badge, score }) {
  const [name, facts] = [$('.masthead .model'), $('.masthead .facts')];
  const words = [badge, score].filter(Boolean).join(' · ');
  if (name.textContent !== title) name.textContent = title;
  if (facts.textContent === words) return;
  facts.textContent = words;
  facts.title = words; // a narrow header cuts it
}
