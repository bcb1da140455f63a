// The tab About: the model that answers, with its card where it is the one that the playground was
// made for, and what the engine says of itself.

import { json } from '../lib/api.js';
import { $, element, markdown, whenAdded } from '../lib/dom.js';
import { number, within } from '../lib/text.js';
import { mostStops } from '../lib/values.js';
import { findingWords, seedWords } from './parameter_support.js';
import { findings, onProof, proofWords } from './proof.js';
import { onEngine } from './state.js';

const list = (facts) => element('dl', {}, ...facts.flatMap(([name, value]) => [
  element('dt', { textContent: name }), element('dd', { textContent: String(value) })]));

// wanted(): whether the model that it is of answers still.
async function showCard(card, wanted) {
  card.setAttribute('aria-busy', 'true');
  try {
    const { html, source, url } = await json('api/card');
    if (!wanted()) return;
    const origin = source === 'hub'
      ? ['The model card, read from ', element('a', { href: url, target: '_blank', rel: 'noopener', textContent: 'the Hugging Face Hub' }), '.']
      : ['The Hub is out of reach; this is our own short text. The card: ', element('a', { href: url, target: '_blank', rel: 'noopener', textContent: url }), '.'];
    card.replaceChildren(
      element('p', { className: 'origin' }, ...origin),
      markdown(html, 'body'),
    );
  } catch (error) {
    if (!wanted()) return;
    card.replaceChildren(element('p', { textContent: `The card could not be read. ${error.message}` }));
  }
  card.removeAttribute('aria-busy');
}

/**
 * @param {HTMLElement} place
 * @param {Engine} engine
 */
function showModel(place, { label, model_id: id, model_sha: sha, quantisation, prompt_format: format }) {
  place.replaceChildren(
    element('p', { textContent: `${within(label.title)} answers here.` }),
    list([
      ['name', id],
      ['revision', sha ?? 'not reported by the engine'],
      ['quantisation', quantisation || 'not reported by the engine'],
      ['prompt format', format],
      ...(label.score ? [['score', label.score]] : []),
    ]),
  );
}

/**
 * @param {Engine} engine
 * @param {unknown} raw What it says itself.
 */
function showEngine(engine, raw) {
  const facts = [
    ['engine', engine.name],
    ['context', `${number.format(engine.max_total_tokens)} tokens`],
    ['prompt at most', `${number.format(engine.max_input_tokens)} tokens`],
    ['stop sequences', `at most ${Math.min(mostStops, engine.max_stop_sequences)} of your own`],
    ['answers at a time', engine.slots === null ? 'not reported by the engine' : number.format(engine.slots)],
    ['seeds', seedWords(engine.seeds)],
    ['samplers', proofWords() || 'Not tested in this browser: “Test the samplers on this engine…” is among a preset’s ⋯ actions.'],
  ];
  const place = $('#engine-info');
  const opened = new Set([...place.querySelectorAll('details[open] summary')].map(({ textContent }) => textContent));
  const folded = (title, content) => element('details', { open: opened.has(title) },
    element('summary', { textContent: title }), element('div', { className: 'body' }, content));
  const found = findings();
  place.replaceChildren(
    list(facts),
    ...(found.length > 0 ? [folded('What the test of the samplers found', list(found.map((each) => [each.parameter, findingWords(each)])))] : []),
    folded('What the engine says of itself', element('pre', { textContent: raw === null ? 'More than can be shown here.' : JSON.stringify(raw, null, 2), tabIndex: 0 })),
  );
}

// Gradio draws the tab when it is first opened; then the card is asked for, where there is one.
export function startAbout() {
  whenAdded(document.getElementById('views'), '#card', (card) => {
    const places = [$('#model-info'), card, $('#engine-info')];
    const untold = places.map((place) => place.textContent);
    let shown = '';
    let showNow = () => {};
    onProof(() => showNow());
    onEngine((state) => {
      if (state.state === 'unknown') {
        shown = '';
        places.forEach((place, i) => place.replaceChildren(...(untold[i] === '' ? [] : [element('p', { textContent: untold[i] })])));
      }
      if (!state.engine) return; // while it is away, what it said last holds
      const { engine, raw } = state;
      showNow = () => showEngine(engine, raw);
      showNow();
      const now = JSON.stringify(state.engine);
      if (now === shown) return;
      shown = now;
      showModel($('#model-info'), state.engine);
      card.replaceChildren();
      if (state.engine.label.is_default) void showCard(card, () => shown === now);
    });
  });
}
