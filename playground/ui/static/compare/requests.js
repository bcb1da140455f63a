// What a comparison asks the server for.

import { conversation } from '../answers/turns.js';
import { wholeNumber } from '../lib/values.js';
import { paneOf } from '../presets/setting.js';

// The panes of a request for these columns, with the messages that each has. Throws in words, and
// shows the place, when a field cannot be read.
export function panesOf(columns, { sameSeed, seed, system, stops }) {
  return columns.map((column) => {
    try {
      const own = sameSeed ? seed : wholeNumber(column.setting.seed, 'seed', 0);
      /** @type {RequestPane} */
      const pane = { ...paneOf(column.setting), messages: conversation(column.messages, null, system) };
      if (stops.length > 0) pane.stop = stops;
      return own === null ? pane : { ...pane, seed: own };
    } catch (error) {
      column.values.open = true;
      column.values.querySelector('[aria-invalid="true"]')?.focus();
      throw new Error(`Column ${column.index + 1}: ${error.message}`, { cause: error });
    }
  });
}

// The last prompt of every column, to be asked again with other seeds: {prompt, labels, seed,
// ask(seed)}, or {refusal} in words.
export function trialsOf(columns, options) {
  const last = columns.map(({ messages }) => messages.findLastIndex(({ role }) => role === 'user'));
  if (last.some((place) => place < 0)) {
    return { refusal: 'Send a prompt to all columns first: the last one is what is asked again with several seeds.' };
  }
  try {
    const panes = panesOf(columns, options);
    return {
      prompt: columns[0].messages[last[0]].content,
      labels: columns.map(({ label }) => label),
      seed: options.seed,
      ask: (seed) => panes.map((pane, i) => (
        { ...pane, seed, messages: conversation(columns[i].messages.slice(0, last[i] + 1), null, options.system) })),
    };
  } catch (error) {
    return { refusal: error.message };
  }
}
