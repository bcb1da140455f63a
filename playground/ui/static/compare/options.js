// What holds for all columns, beside the prompt: the seed, blind or not, the difference shown, the
// system text and the stop sequences.

import { $, fit } from '../lib/dom.js';
import { count, within } from '../lib/text.js';
import { drawSeed, wholeNumber } from '../lib/values.js';
import { stopsOf } from '../presets/edited_values.js';

export class Options {
  // kept: what `value` was. changed(): something was chosen; against(i): the i-th column was.
  constructor(kept, { changed, against }) {
    this.use({ sameSeed: true, seed: String(drawSeed()), ...kept });
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
    for (const area of this.#texts.querySelectorAll('textarea')) {
      area.addEventListener('input', () => {
        area.removeAttribute('aria-invalid');
        fit(area);
        changed();
      });
    }
    $('#compare-texts-open').addEventListener('click', () => {
      this.#showTexts(this.#texts.hidden);
      if (this.#texts.hidden) return;
      this.fold(); // there is no room for both on a narrow page
      $('#compare-beginning').focus();
    });
    $('#compare-options').addEventListener('click', () => this.#open(!this.panel.classList.contains('open')));
  }

  get panel() {
    return $('#compare-composer .options');
  }

  get value() {
    return {
      sameSeed: this.sameSeed,
      seed: $('#compare-seed').value.trim(),
      difference: this.difference,
      blind: this.blind,
      system: $('#compare-system').value,
      stop: $('#compare-stop-sequences').value,
      beginning: $('#compare-beginning').value,
    };
  }

  /**
   * Takes what `value` was, or a part of it.
   * @param {any} kept
   */
  use({ sameSeed = this.sameSeed, seed, difference, blind = this.blind, system, stop, beginning }) {
    this.sameSeed = sameSeed;
    $('#compare-same-seed').checked = sameSeed;
    $('#compare-blind').checked = blind;
    const fields = { seed, difference, system, 'stop-sequences': stop, beginning };
    for (const [name, text] of Object.entries(fields)) {
      if (text !== undefined) $(`#compare-${name}`).value = text;
    }
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

  get system() {
    return $('#compare-system').value.trim();
  }

  // What the next answers begin with.
  get beginning() {
    return $('#compare-beginning').value.trimEnd();
  }

  // Throws in words, and shows the place.
  get stops() {
    const area = $('#compare-stop-sequences');
    try {
      area.setAttribute('aria-invalid', 'false');
      return stopsOf(area.value);
    } catch (error) {
      area.setAttribute('aria-invalid', 'true');
      this.#showTexts(true);
      throw error;
    }
  }

  get #texts() {
    return $('#compare-texts');
  }

  #showTexts(shown) {
    this.#texts.hidden = !shown;
    $('#compare-texts-open').setAttribute('aria-expanded', String(shown));
    this.#texts.querySelectorAll('textarea').forEach(fit);
  }

  // What the folded texts are, in words.
  get #said() {
    const stops = $('#compare-stop-sequences').value.split('\n').filter((line) => line !== '').length;
    return [this.beginning !== '' && 'beginning', this.system !== '' && 'system text', stops > 0 && count(stops, 'stop sequence')].filter(Boolean);
  }

  // On a narrow page the options are folded away behind a button that sums them up.
  #open(open) {
    this.panel.classList.toggle('open', open);
    $('#compare-options').setAttribute('aria-expanded', String(open));
  }

  showDoubt(doubt) {
    const note = $('#compare-seed-note');
    if (note.textContent !== doubt) note.textContent = doubt;
    note.hidden = doubt === '';
  }

  fold() {
    this.#open(false);
  }

  // doubt: why the same seed may not repeat its answers, or ''.
  show(labels, reference, doubt) {
    this.showDoubt(doubt);
    $('#compare-seed').hidden = !this.sameSeed;
    $('#compare-new-seed').hidden = !this.sameSeed;
    $('#compare-against').replaceChildren(...labels.map((label, i) => new Option(within(label), i)));
    $('#compare-against').value = reference;
    $('#compare-against-label').hidden = this.difference === 'off';
    $('#compare-texts-open').textContent = this.#said.join(', ') || 'system text, stop, beginning';
    $('#compare-options').title = $('#compare-options').textContent = [
      this.sameSeed ? `seed ${$('#compare-seed').value || 'random'}` : 'own seeds',
      ...this.#said,
      this.blind ? 'blind' : this.difference !== 'off' && `difference: ${$('#compare-difference').selectedOptions[0].text}`,
    ].filter(Boolean).join(' · ');
  }
}
