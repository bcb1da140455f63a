// The tab About: the model's card and the engine's own /info.

import { json } from '../lib/api.js';
import { $, element, whenAdded } from '../lib/dom.js';
import { number } from '../lib/text.js';
import { onEngine } from './state.js';

async function showCard(card) {
  try {
    const { html, source, url } = await json('api/card');
    const origin = source === 'hub'
      ? ['The model card, read from ', element('a', { href: url, target: '_blank', rel: 'noopener', textContent: 'the Hugging Face Hub' }), '.']
      : ['The Hub is out of reach; this is our own short text. The card: ', element('a', { href: url, target: '_blank', rel: 'noopener', textContent: url }), '.'];
    card.replaceChildren(
      element('p', { className: 'origin' }, ...origin),
      element('div', { className: 'body', innerHTML: html }),
    );
  } catch (error) {
    card.replaceChildren(element('p', { textContent: `The card could not be read. ${error.message}` }));
  }
  card.removeAttribute('aria-busy');
}

function showEngine(state) {
  const { engine, raw } = state;
  if (!engine) return;
  const facts = [
    ['engine', engine.name],
    ['model', engine.model_id],
    ['revision', engine.model_sha ?? 'not told'],
    ['context', `${number.format(engine.max_total_tokens)} tokens`],
    ['prompt at most', `${number.format(engine.max_input_tokens)} tokens`],
    ['stop sequences', engine.max_stop_sequences],
  ];
  const place = $('#engine-info');
  const open = place.querySelector('details')?.open ?? false;
  place.replaceChildren(
    element('dl', {}, ...facts.flatMap(([name, value]) => [
      element('dt', { textContent: name }), element('dd', { textContent: String(value) })])),
    element('details', { open },
      element('summary', { textContent: 'What the engine answers at /info' }),
      element('div', { className: 'body' }, element('pre', { textContent: JSON.stringify(raw, null, 2), tabIndex: 0 }))),
  );
}

// Gradio draws the tab when it is first opened; then the card is asked for.
export function startAbout() {
  whenAdded(document.getElementById('views'), '#card', (card) => {
    void showCard(card);
    onEngine(showEngine);
  });
}
