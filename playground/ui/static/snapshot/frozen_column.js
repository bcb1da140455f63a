// One column of a frozen record: its values as they were, and its messages with their receipts.

import { Pane } from '../answers/pane.js';
import { hasDefaultSystem, takeReceipt } from '../answers/receipt.js';
import { element } from '../lib/dom.js';
import { plainName, quotedStops } from '../lib/text.js';

const dash = '–';

// A column's setting in a line, and below it every value, unset ones too. parameters: the seven names.
function values({ setting, messages }, parameters) {
  const { sampler, max_new_tokens: limit, seed, stop, system, engine = null, emulate = true } = setting;
  const own = messages.some(({ receipt }) => receipt && hasDefaultSystem(receipt));
  const set = parameters.filter((name) => name in sampler).map((name) => `${name.replace('_penalty', '')} ${sampler[name]}`);
  if (limit !== null) set.push(`max ${limit}`);
  if (seed !== null) set.push(`seed ${seed}`);
  if (!emulate) set.push('emulation off');
  const rows = [
    ...parameters.map((name) => [name, sampler[name] ?? dash]),
    ['max new tokens', limit ?? 'to the end'],
    ['seed', seed ?? 'random'],
    ['stop sequences', quotedStops(stop) || 'none'],
    ['system text', system || (own ? 'none: the model’s own default was sent' : 'none')],
    ...(engine === null ? [] : [['engine', engine]]),
    ...(emulate ? [] : [['emulation', 'off']]),
  ];
  return element('details', { className: 'values' },
    element('summary', { textContent: set.join(' · ') || 'the engine’s own choice' }),
    element('dl', {}, ...rows.flatMap(([name, text]) => [
      element('dt', { textContent: name }), element('dd', { textContent: String(text) })])));
}

export class FrozenColumn {
  // column: of a record. blocks: the rendered texts of its messages. alone: a chat has one column,
  // whose answers say all their figures themselves. busy(), chosen(): see Pane.
  constructor(column, blocks, { parameters, index, alone, busy, chosen }) {
    this.label = plainName(column.label);
    this.setting = column.setting;
    this.all = column.messages.map((message, i) => (message.role === 'user' ? message : {
      ...message,
      receipt: message.receipt && takeReceipt(message.receipt),
      blocks: blocks[i] ?? [],
      shown: blocks[i] === null ? 0 : message.content.length,
    }));
    this.log = element('div', { className: 'log', dataset: { testid: `pane-${index}` } });
    this.log.setAttribute('role', 'log');
    this.log.setAttribute('aria-label', alone ? 'Conversation' : `Conversation of column ${index + 1}`);
    this.verdict = element('p', { className: 'verdict', hidden: true });
    this.pane = new Pane(this.log, { presetName: (name) => name, busy, chosen });
    this.node = element('section', { className: 'column' },
      element('header', {},
        element('h2', { textContent: this.label }),
        values(column, parameters), this.verdict),
      this.log);
    this.pane.show(this.all, column.shown);
  }

  // The messages that are shown.
  get messages() {
    return this.pane.messages;
  }

  // The last answer, if the last message is one.
  get answer() {
    const last = this.messages.at(-1);
    return last?.role === 'assistant' ? last : null;
  }

  say(text, kind = '') {
    this.verdict.hidden = text === '';
    this.verdict.textContent = text;
    this.verdict.dataset.kind = kind;
  }
}
