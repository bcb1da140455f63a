// The block under way as HTML: as what it is becoming, by the grammar of what the server will send.
//
// The last line may be half of something: what it says is shown only when it can no longer turn into
// something else, so that nothing is drawn in one way first and in another one then.

import { makeGrammar } from './grammar.js';

const parser = new URL('../vendor/markdown-it.js', import.meta.url).href;

/** @type {any} */
let grammar = null;
/** @type {Promise<void> | null} */
let loading = null;

// Fetches the parser; before it is here, and where it cannot be had, a block under way is plain text.
export function loadPreview() {
  loading ??= (async () => {
    try {
      await import(parser);
      const { markdownit } = /** @type {any} */ (globalThis);
      grammar = makeGrammar(markdownit);
    } catch {
      loading = null;
    }
  })();
  return loading;
}

// The marks that may open a line or stand alone on it: of an item, a heading, a quote, a fence, a rule.
// The blanks in front belong to no mark, or a line of many would be tried at each of them.
const marks = /^[ \t>]*(?:[-+*=_~`#$\\[][-+*=_~`#$\\[\t ]*|\d{1,9}[.)]?[ \t]*|(?:[-+*]|\d{1,9}[.)]) +\[(?:[ xX]\]?)?)?$/;
const row = /^ {0,3}\|/;
const underHead = /^[-:| \t]*$/;
// A link as far as its address, which may be one that is followed.
const openLink = /(?<!\\)!?\[((?:[^[\]\\]|\\.)*)\]\((?:ht{0,2}|https?(?::[^\s()]*)?)?$/s;

const clean = (text) => text.replaceAll('\r\n', '\n').replaceAll('\r', ' ');

// A whole text as HTML.
export const renderWhole = (text) => grammar.render(clean(text), {});

/**
 * A text that goes on, as HTML; null while the parser is not here.
 * @param {string} text
 * @returns {string | null}
 */
export function preview(text) {
  if (grammar === null) return null;
  const whole = clean(text);
  const tokens = grammar.parse(whole, { open: true });
  const last = tokens.findLast(({ nesting }) => nesting >= 0);
  if (last?.type === 'fence') {
    last.content = shownCode(last);
    return grammar.renderer.render(tokens, grammar.options, {});
  }
  const settled = settle(whole, last?.type === 'inline');
  return settled === whole ? grammar.renderer.render(tokens, grammar.options, {}) : grammar.render(settled, { open: true });
}

const codeLines = (content) => (content === '' ? [] : content.replace(/\n$/, '').split('\n'));

// A fence takes the lines of its content and one more, and another one when it is closed.
const isOpen = ({ map, content }) => map[1] - map[0] < codeLines(content).length + 2;

// Code without what may become the closing fence, and without the end of its last line, which would
// make room for one more.
function shownCode(fence) {
  const lines = codeLines(fence.content);
  const end = lines.at(-1)?.trim() ?? '';
  if (isOpen(fence) && end !== '' && end.replaceAll(fence.markup[0], '') === '') lines.pop();
  return lines.join('\n');
}

// The text as far as it cannot become something else. Whether its last line is of words: there alone
// a table or a link begins.
function settle(text, inWords) {
  const start = text.lastIndexOf('\n') + 1;
  const before = text.slice(0, start);
  const line = text.slice(start);
  const lines = before.split('\n');
  const [above, over] = [lines.at(-2) ?? '', lines.at(-3) ?? ''];
  if (inWords && row.test(line) && !row.test(above)) return line.trim() === '|' ? before : `${text}\n${mark(line)}`;
  if (inWords && row.test(above) && !row.test(over) && underHead.test(line)) return before + mark(above);
  if (line !== '' && marks.test(line)) return before;
  const inCode = line.split('`').length % 2 === 0;
  return inWords && !inCode ? text.replace(openLink, '$1') : text;
}

// The line below a table's head, which is not there yet.
function mark(line) {
  const cells = line.trim().replace(/^\|/, '').replace(/\|$/, '').split(/(?<!\\)\|/);
  return `|${'---|'.repeat(cells.length)}`;
}
