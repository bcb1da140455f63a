// The model that answers, in the page's header.

import { $ } from '../lib/dom.js';

/** @param {Pick<ModelLabel, 'title' | 'badge' | 'score'>} label */
export function nameModel({ title, badge, score }) {
  const [name, facts] = [$('.masthead .model'), $('.masthead .facts')];
  const words = [badge, score].filter(Boolean).join(' · ');
  if (name.textContent !== title) name.textContent = name.title = title; // a narrow header cuts both
  if (facts.textContent === words) return;
  facts.textContent = words;
  facts.title = words;
}
