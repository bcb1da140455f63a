// Shows where the columns differ: marks over the text, by the CSS Custom Highlight API, which
// leaves the page's elements as they are, and the same in words at each column.

import { patientJson } from '../lib/api.js';
import { differentWords, firstDifference, firstPiece, places } from '../lib/diff.js';
import { within } from '../lib/text.js';

const pace = 250; // ms between two looks while answers are being written
const shown = 40; // characters of a token that are quoted

const quote = (text) => `“${text.trim().length > shown ? `${text.trim().slice(0, shown)}…` : text.trim()}”`;

// The rendered text of an answer, as its text nodes.
function textNodes(body) {
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
    if (node.nodeType === Node.TEXT_NODE) return NodeFilter.FILTER_ACCEPT;
    return /** @type {Element} */ (node).matches('button') ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_SKIP;
  });
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  return nodes;
}

// Ranges of the page for ranges of the raw text.
function pageRanges(body, raw, ranges) {
  const nodes = textNodes(body);
  const at = places(raw, nodes.map((node) => node.data).join(''));
  const lowest = (place) => {
    let [low, high] = [0, at.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (at[middle] < place) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  const found = [];
  for (const [start, stop] of ranges) {
    const blank = raw.slice(start, stop).match(/^\s*/)[0].length;
    let [from, to] = [lowest(start + blank), lowest(stop)];
    for (const node of nodes) {
      if (from >= to) break;
      if (from < node.length) {
        const range = new Range();
        range.setStart(node, from);
        range.setEnd(node, Math.min(to, node.length));
        found.push(range);
        from = Math.min(to, node.length);
      }
      from -= node.length;
      to -= node.length;
    }
  }
  return found;
}

// Under which the pieces of a text are kept.
const cut = (engine, text) => `${engine ?? ''}\n${text}`;

export class Marks {
  // look(): {columns, reference, mode}, with mode first, words or off; or a list of such groups,
  // each compared within itself.
  constructor(look) {
    this.look = look;
    this.pieces = new Map(); // an engine and a text → its tokens, or null while they are asked for
    this.timer = null;
    this.drawing = new MutationObserver(() => this.update()); // what was marked in a text that is drawn anew is gone
  }

  // Looks again, soon or now.
  update(now = false) {
    if (now) {
      clearTimeout(this.timer);
      this.timer = null;
      this.#show();
    } else {
      this.timer ??= setTimeout(() => { this.timer = null; this.#show(); }, pace);
    }
  }

  #show() {
    const marked = new Map();
    const ended = [this.look()].flat().flatMap((group) => this.#group(group, marked));
    this.#paint(marked);
    void this.#ask(ended);
  }

  // Says and marks where the columns of a group differ; gives back the texts that are complete.
  #group({ columns, reference: chosen, mode }, marked) {
    // A column without a text compares with nothing: then the first that has one stands in.
    const reference = this.#subject(chosen) ? chosen : columns.find((column) => this.#subject(column)) ?? chosen;
    for (const column of columns) marked.set(column, { first: [], words: [] });
    const subject = this.#subject(reference);
    const ended = [];
    for (const column of columns) {
      const other = this.#subject(column);
      const comparable = mode !== 'off' && subject && other && subject.prompt === other.prompt;
      if (!comparable) column.say('');
      else if (column === reference) column.say('The others are compared with this');
      else {
        this.#compare(marked, column, reference, subject, other, mode);
        // One engine cuts both, so that what differs are texts and not tokenizers.
        if (subject.final && other.final) ended.push([subject.engine, subject.text], [subject.engine, other.text]);
      }
    }
    return ended;
  }

  // final: no more will come; ended: and the text is whole, so that being shorter is a difference.
  #subject(column) {
    const { answer } = column;
    if (!answer || answer.content === '') return null;
    const { content: text, state, receipt } = answer;
    return { text, engine: receipt?.engine_id, final: state !== 'streaming', ended: state === 'done', prompt: column.messages.at(-2)?.content };
  }

  #compare(marked, column, reference, subject, other, mode) {
    const name = within(reference.label);
    const [left, right] = [subject, other].map(({ text }) => this.pieces.get(cut(subject.engine, text)));
    let parts = firstDifference(subject, other);
    if (parts && subject.final && other.final && left && right) parts = firstPiece(left, right) ?? parts;
    const text = (range) => other.text.slice(...range);
    if (!parts) {
      const both = subject.ended && other.ended;
      column.say(both ? `Same text as ${name}` : `Same as ${name} so far`, both ? 'same' : '');
      return;
    }
    marked.get(column).first.push(parts.b);
    marked.get(reference).first.push(parts.a);
    const where = parts.b[0] === parts.b[1] ? `Ends where ${name} goes on`
      : parts.a[0] === parts.a[1] ? `Goes on with ${quote(text(parts.b))} where ${name} ends`
        : `Differs from ${name} at ${quote(text(parts.b))}`;
    if (mode === 'first') {
      column.say(where, 'differs');
      return;
    }
    const difference = differentWords(subject, other);
    marked.get(column).words.push(...difference.ranges);
    column.say(`${where}; ${difference.count} of ${difference.of} words differ`, 'differs');
  }

  #paint(marked) {
    if (!CSS.highlights) return;
    const ranges = { first: [], words: [] };
    for (const [column, kinds] of marked) {
      this.drawing.observe(column.log, { childList: true, characterData: true, subtree: true });
      const body = column.log.lastElementChild?.querySelector('.body');
      if (!body) continue;
      for (const kind of ['first', 'words']) {
        if (kinds[kind].length > 0) ranges[kind].push(...pageRanges(body, column.answer.content, kinds[kind]));
      }
    }
    for (const kind of ['first', 'words']) CSS.highlights.set(`difference-${kind}`, new Highlight(...ranges[kind]));
    const first = CSS.highlights.get('difference-first');
    if (first) first.priority = 1;
  }

  // The engine's tokens of texts that are complete, so that the first difference is a token's.
  async #ask(ended) {
    const wanted = new Map(ended.map(([by, text]) => [cut(by, text), { by, text }]).filter(([key]) => !this.pieces.has(key)));
    if (wanted.size === 0) return;
    if (this.pieces.size > 40) this.pieces.clear();
    for (const key of wanted.keys()) this.pieces.set(key, null);
    const engines = new Set([...wanted.values()].map(({ by }) => by));
    await Promise.all([...engines].map((by) => this.#cut(by, [...wanted].filter(([, each]) => each.by === by))));
  }

  async #cut(engine, wanted) {
    try {
      const { pieces } = await patientJson('api/pieces', { texts: wanted.map(([, { text }]) => text), engine });
      wanted.forEach(([key], i) => this.pieces.set(key, pieces[i]));
      this.update(true);
    } catch (error) {
      // words do, and the next look at other texts asks again, or at these where all were busy
      if (error.kind === 'busy') for (const [key] of wanted) this.pieces.delete(key);
    }
  }
}
