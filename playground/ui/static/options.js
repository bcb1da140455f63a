// What holds for all columns, beside the prompt: the seed, blind or not, and the difference shown.

import { wholeNumber } from './values.js';

const $ = (selector) => document.querySelector(selector);

export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

export class Options {
  // kept: what `value` was. changed(): something was chosen; against(i): the i-th column was.
  constructor(kept, { changed, against }) {
    this.sameSeed = kept.sameSeed ?? true;
    $('#compare-difference').value = kept.difference ?? 'first';
    $('#compare-same-seed').checked = this.sameSeed;
    $('#compare-seed').value = kept.seed ?? String(drawSeed());
    $('#compare-same-seed').addEventListener('change', (event) => {
      this.sameSeed = event.target.checked;
      changed();
    });
    $('#compare-seed').addEventListener('input', changed);
    $('#compare-new-seed').addEventListener('click', () => {
      $('#compare-seed').value = String(drawSeed());
      changed();
    });
    $('#compare-blind').addEventListener('change', changed);
    $('#compare-difference').addEventListener('change', changed);
    $('#compare-against').addEventListener('change', (event) => against(Number(event.target.value)));
    $('#compare-options').addEventListener('click', () => this.#open(!this.panel.classList.contains('open')));
  }

  get panel() {
    return $('#compare-composer .options');
  }

  get value() {
    return { sameSeed: this.sameSeed, seed: $('#compare-seed').value.trim(), difference: this.difference };
  }

  get difference() {
    return $('#compare-difference').value;
  }

  get blind() {
    return $('#compare-blind').checked;
  }

  // The seed of all columns; a new one when the field is empty. Throws in words.
  get seed() {
    return wholeNumber($('#compare-seed').value, 'seed', 0) ?? drawSeed();
  }

  // On a narrow page the options are folded away behind a button that sums them up.
  #open(open) {
    this.panel.classList.toggle('open', open);
    $('#compare-options').setAttribute('aria-expanded', String(open));
  }

  fold() {
    this.#open(false);
  }

  show(labels, reference) {
    $('#compare-seed').hidden = !this.sameSeed;
    $('#compare-new-seed').hidden = !this.sameSeed;
    $('#compare-against').replaceChildren(...labels.map((label, i) => new Option(label, i)));
    $('#compare-against').value = reference;
    $('#compare-against-label').hidden = this.difference === 'off';
    $('#compare-options').textContent = [
      this.sameSeed ? `seed ${$('#compare-seed').value || 'random'}` : 'own seeds',
      this.blind ? 'blind' : this.difference !== 'off' && `difference: ${$('#compare-difference').selectedOptions[0].text}`,
    ].filter(Boolean).join(' · ');
  }
}
