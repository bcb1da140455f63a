// A blind round: answers A to D without names, a vote, and the reveal.
//
// The server shuffles the answers and seals what would tell them apart, so nothing on this page
// knows which is which until it asks the server to open the seals. A round is a plain value that
// can be stored: {prompt, answers: [message], outcome}, where each message has its `seals`.

import { brokenOff, Pane } from '../answers/pane.js';
import { takeReceipt } from '../answers/receipt.js';
import { answerInto, renderRest, stopAnswers } from '../answers/streaming.js';
import { isBare, newAnswer } from '../answers/versions.js';
import { json } from '../lib/api.js';
import { button, element, onceOfTwo } from '../lib/dom.js';
import { ScrollEnd } from '../lib/scroll_end.js';
import { within } from '../lib/text.js';
import { presetName } from '../presets/panel.js';
import { isChanged, paneOf, summary } from '../presets/setting.js';
import { belowHead } from './columns.js';
import { InSight } from './in_sight.js';
import { addVote } from './votes.js';

export const letter = (i) => String.fromCharCode(65 + i);

export class BlindRound {
  // place: where the answers are shown; ballot: where the vote is, in the dock. revealed(round, outcome, best, height)
  // gets every answer with `column`, its place in the request, and its receipt and figures, and how
  // many pixels below its head the question is seen;
  // dropped(): the round cannot be revealed and is given up; again(round): its prompt is to be asked
  // once more; changed(): it is worth storing. doubt(): why the same seed may not repeat the answers, or ''.
  constructor(place, ballot, dock, { revealed, dropped, again, changed, doubt }) {
    this.place = place;
    this.ballot = ballot;
    this.revealed = revealed;
    this.dropped = dropped;
    this.again = again;
    this.changed = changed;
    this.doubt = doubt;
    /** @type {{ prompt: string, answers: Answer[] } | null} */
    this.round = null;
    /** @type {AbortController | null} */
    this.controller = null;
    /** @type {string | null} */
    this.stream = null; // its id, once it is begun
    /** @type {Pane[]} */
    this.panes = [];
    this.end = new ScrollEnd('blind', place, [place], dock, () => this.open);
    this.sight = new InSight(place, () => this.end.grown());
    onceOfTwo(ballot);
  }

  get open() {
    return this.round !== null;
  }

  get running() {
    return this.controller !== null;
  }

  // Shows a round that was begun before, as after a reload.
  show(round) {
    this.round = round;
    for (const answer of round.answers) if (answer.state === 'streaming') answer.state = 'stopped';
    this.#draw(round);
    this.panes.forEach((pane, i) => renderRest(pane, round.answers[i]));
    this.#vote();
  }

  // beginning: what the answers begin with, which the panes have already.
  async run(prompt, panes, beginning) {
    const answers = panes.map(() => ({ ...newAnswer(beginning), seals: [] }));
    this.round = { prompt, answers };
    this.#draw(this.round);
    this.end.show();
    this.controller = new AbortController();
    this.stream = null;
    this.#vote();
    await answerInto(this.panes, { panes, blind: true }, this.controller.signal, {
      onOpen: (id) => { this.stream = id; },
      onEvent: (_, name) => { if (name !== 'delta') this.changed(); },
    });
    this.controller = null;
    this.changed();
    this.#vote();
  }

  // As the reader asks for it: the answers have their figures then.
  stop() {
    if (this.controller) void stopAnswers(this.stream, this.panes.map((_, i) => i), this.controller);
  }

  // Stops at once, since something else is shown.
  leave() {
    this.controller?.abort();
  }

  close() {
    this.round = null;
    this.place.replaceChildren();
    this.place.hidden = true;
    this.ballot.hidden = true;
    this.end.show(); // with nothing in it
  }

  #draw({ prompt, answers }) {
    this.place.hidden = false;
    this.panes = [];
    this.place.replaceChildren(...answers.map((answer, i) => {
      const log = element('div', { className: 'log', dataset: { testid: `pane-${i}` } });
      log.setAttribute('role', 'log');
      log.setAttribute('aria-label', `Answer ${letter(i)}`);
      const pane = new Pane(log, { presetName }, { plain: true });
      pane.show([{ role: 'user', content: prompt }, answer]);
      this.panes.push(pane);
      this.end.observe(log);
      const column = element('section', { className: 'column' },
        element('header', {}, element('div', { className: 'title' }, element('h3', { textContent: `Answer ${letter(i)}` }))), log);
      column.setAttribute('aria-label', `Answer ${letter(i)}`);
      this.sight.watch(column);
      return column;
    }));
    this.place.style.setProperty('--columns', this.panes.length);
  }

  #vote(problem = '') {
    const { round } = this;
    if (!round) return;
    this.ballot.hidden = false;
    if (this.running) {
      this.ballot.replaceChildren(element('p', { textContent: 'Vote when all answers are there.' }),
        button('Stop all', () => this.stop(), 'primary'));
      return;
    }
    const whole = round.answers.every(({ state }) => state === 'done');
    const votable = whole || round.answers.every(isThere);
    const words = problem || (whole ? 'Which answer is best?'
      : votable ? 'Not every answer was finished. Which is best as far as it goes?'
        : 'Not every answer came, so this round cannot be voted on.');
    const choices = votable ? [
      ...round.answers.map((_, i) => button(letter(i), () => this.#reveal('best', i), 'choice-button')),
      button('Tie', () => this.#reveal('tie', null), 'choice-button'),
      button('All bad', () => this.#reveal('bad', null), 'choice-button'),
    ] : [];
    choices.forEach((choice, i) => {
      if (i < round.answers.length) choice.setAttribute('aria-label', `Answer ${letter(i)} is best`);
    });
    const leave = [button(votable ? 'Reveal without a vote' : 'Reveal', () => this.#reveal(null, null))];
    if (!whole) leave.unshift(button('Run again', () => this.again(round)));
    if (problem) leave.push(button('Discard this round', () => { this.close(); this.dropped(); }));
    this.ballot.replaceChildren(
      element('p', { textContent: words }),
      element('div', { className: 'choices' }, ...choices, ...leave),
      element('small', { textContent: this.doubt() }));
  }

  async #reveal(outcome, best) {
    const { round } = this;
    if (!round) return;
    for (const choice of this.ballot.querySelectorAll('button')) choice.disabled = true; // a vote counts once
    const seals = round.answers.flatMap((answer, i) => (answer.seals ?? []).map((seal) => ({ i, seal })));
    try {
      const { opened } = seals.length === 0 ? { opened: [] }
        : await json('api/reveal', { sealed: seals.map(({ seal }) => seal) });
      opened.forEach(({ pane, receipt, done, error, notices }, n) => {
        const answer = round.answers[seals[n].i];
        answer.column = pane;
        if (receipt) answer.receipt = takeReceipt(receipt);
        if (done) answer.done = done;
        if (error) {
          const { emulation = null, figures, ...problem } = error;
          Object.assign(answer, problem.kind === 'stopped' ? { emulation } : { problem, emulation });
          if (figures) answer.done = brokenOff(answer, figures);
        }
        if (notices) answer.notices = notices;
      });
    } catch (error) {
      this.#vote(error.message);
      return;
    }
    for (const [i, answer] of round.answers.entries()) {
      delete answer.seals;
      answer.letter = letter(i);
      answer.chosen = outcome === 'best' && best === i;
    }
    const height = belowHead(this.panes[0].log.children[0]);
    this.close();
    this.revealed(round, outcome, best, height);
  }
}

/**
 * Whether an answer can be voted on: it has text, no fault cut it off, and a seal tells whose it is.
 * @type {(answer: Answer) => boolean}
 */
const isThere = (answer) => !isBare(answer) && ['done', 'stopped'].includes(answer.state) && (answer.seals ?? []).length > 0;

// Gives the answers of a revealed round to their columns, and the vote to the others; says in words
// what was what. An answer that cannot be placed, as one that never began, is a stopped one.
export function deal(columns, { prompt, answers }, outcome, best) {
  columns.forEach((column, i) => {
    const answer = answers.find((each) => each.column === i)
      ?? { role: 'assistant', content: '', blocks: [], state: 'stopped' };
    delete answer.column;
    column.pane.add({ role: 'user', content: prompt });
    column.pane.add(answer);
  });
  const named = columns.filter(({ answer }) => answer.letter)
    .sort((a, b) => (a.answer.letter < b.answer.letter ? -1 : 1));
  const chosen = columns.findIndex(({ answer }) => answer.chosen);
  if (outcome) {
    addVote({
      at: new Date().toISOString(),
      prompt,
      model: [...new Set(named.map(({ answer }) => answer.receipt?.model_id).filter(Boolean))].join(', ') || null,
      settings: columns.map(({ name, engineName, setting }) => ({
        name: [isChanged(setting) ? `${name}: ${summary(setting)}` : name, engineName].filter(Boolean).join(' · '),
        preset: setting.preset,
        sampler: paneOf(setting).sampler ?? null,
      })),
      outcome,
      best: best === null ? null : chosen,
    });
  }
  const verdicts = { best: () => `You chose ${within(columns[chosen].label)}. `, tie: () => 'A tie. ', bad: () => 'All bad. ' };
  const names = named.map(({ answer, label }) => `${answer.letter} was ${within(label)}`).join(', ');
  return `${verdicts[outcome]?.() ?? ''}${names}.`;
}
