// The server's Markdown (generation/grammar.py) for the browser: the same grammar by the same parser,
// so that a block looks while it is written as it will look when the server sends it. Code has no
// colours here, and headings no levels.
//
// In an environment with `open`, maths whose end is still to come is maths, too.

const links = /^(?:https?:\/\/|mailto:)/i;
const linkAttributes = 'rel="noopener noreferrer nofollow" target="_blank"';

const nesting = 40; // a list or a quote takes one or two of them
const deepest = nesting - 4;

// A rule of the parser's, with what it interrupts.
const given = (ruler, name) => ruler.__rules__.find((rule) => rule.name === name);

// Some twenty lists or quotes deep, a line that would begin a further one is text.
function limitDepth({ ruler }) {
  for (const name of ['blockquote', 'list']) {
    const { fn, alt } = given(ruler, name);
    ruler.at(name, (state, ...line) => state.level <= deepest && fn(state, ...line), { alt });
  }
}

// What a line deeper than that would begin lists and quotes with.
const deepMarks = /(^|\n)((?:[ \t]*(?:>|(?:[-+*]|[0-9]{1,9}[.)])(?=[ \t])))+)[ \t]*/g;

// The beginning of a line as it is read: its innermost bullet or number, or nothing.
function flat(_, before, found) {
  const mark = found.match(/[-+*>]|[0-9]+[.)]/g).findLast((each) => each !== '>');
  if (!mark) return before;
  return `${before}${/[0-9]/.test(mark) ? mark : '\u2022'} `;
}

export function makeGrammar(markdownit) {
  const markdown = markdownit('commonmark', { html: false, breaks: true, maxNesting: nesting }).enable(['table', 'strikethrough']).disable('reference');
  markdown.validateLink = (url) => links.test(url);
  render(markdown);
  limitDepth(markdown.block);
  addBlocks(markdown);
  addInline(markdown);
  markdown.core.ruler.at('inline', inline);
  markdown.core.ruler.push('finish', finish);
  return markdown;
}

// What is rendered in a way of its own.
function render(markdown) {
  const { escapeHtml, unescapeAll } = markdown.utils;
  const { rules } = markdown.renderer;
  rules.code_block = rules.fence = (tokens, i) => {
    const { content, info } = tokens[i];
    const [language = ''] = unescapeAll(info).split(/\s+/).filter(Boolean);
    const caption = language && `<figcaption>${escapeHtml(language)}</figcaption>`;
    return `<figure class="code" dir="ltr">${caption}<pre tabindex="0"><code>${escapeHtml(content)}</code></pre></figure>\n`;
  };
  rules.link_open = (tokens, i, options, _, self) => {
    tokens[i].attrSet('rel', 'noopener noreferrer nofollow');
    tokens[i].attrSet('target', '_blank');
    return self.renderToken(tokens, i, options);
  };
  rules.image = (tokens, i, options, env, self) => {
    const source = tokens[i].attrGet('src') ?? '';
    const text = self.renderInlineAsText(tokens[i].children ?? [], options, env) || source;
    const depth = tokens.slice(0, i).reduce((sum, { type, nesting }) => sum + (type.startsWith('link_') ? nesting : 0), 0);
    if (depth > 0 || source === '') return escapeHtml(text);
    return `<a href="${escapeHtml(source)}" ${linkAttributes}>${escapeHtml(text)}</a>`;
  };
  rules.math = rules.math_display = (tokens, i) => {
    const { type, block, content, meta } = tokens[i];
    const code = `<code class="${type === 'math' ? 'math' : 'math display'}${meta?.open ? ' open' : ''}">${escapeHtml(content)}</code>`;
    return block ? `<p>${code}</p>\n` : code;
  };
  rules.task = (tokens, i) => {
    const done = tokens[i].content === 'x';
    return `<span class="task" role="img" aria-label="${done ? 'done' : 'to do'}">${done ? '☑' : '☐'}</span> `;
  };
  rules.table_open = (tokens, i, options, _, self) => `<div class="scroll" tabindex="0">${self.renderToken(tokens, i, options)}`;
  rules.table_close = () => '</table></div>\n';
}

const closers = { $$: '$$', '\\[': '\\]', '\\(': '\\)', $: '$' };
const longest = 4000; // characters of maths; nothing is looked for beyond

// The first place of a text between two places, or -1.
function find(text, searched, from, to) {
  const at = text.slice(from, to).indexOf(searched); // or all that follows would be searched
  return at < 0 ? -1 : from + at;
}

// Whether it reads as words and amounts, as between the signs of $5 or 10$.
const isProse = (text) => !/[\\^_=+<>{}|]/.test(text) && /\p{L}{2}/u.test(text);

function addBlocks(markdown) {
  const { ruler } = markdown.block;
  const { fn: table, alt } = given(ruler, 'table');
  // A table ends where filling up its rows would take more cells than it has characters.
  ruler.at('table', (state, start, end, silent) => {
    const begins = table(state, start, end, true);
    if (silent || !begins) return begins;
    const line = state.src.slice(state.bMarks[start + 1], state.eMarks[start + 1]);
    const columns = Math.max(1, line.split('|').length - 2);
    let last = start + 2;
    while (last < end && (last - start) * columns <= state.eMarks[last] - state.bMarks[start]) last += 1;
    return table(state, start, last, false);
  }, { alt });
  ruler.before('fence', 'maths', mathsBlock, { alt: given(ruler, 'fence').alt });
}

function mathsBlock(state, start, end, silent) {
  if (state.sCount[start] - state.blkIndent >= 4) return false;
  const begin = state.bMarks[start] + state.tShift[start];
  const opener = state.src.slice(begin, begin + 2);
  if (opener !== '$$' && opener !== '\\[') return false;
  let stop = find(state.src, closers[opener], begin + 2, begin + longest);
  const open = stop < 0;
  if (open) {
    if (!state.env.open) return false;
    stop = state.src.length;
  }
  const lines = [];
  let line = start;
  let at = begin + 2;
  while (stop > state.eMarks[line]) {
    lines.push(state.src.slice(at, state.eMarks[line]));
    line += 1;
    if (line >= end) {
      if (!open) return false;
      break;
    }
    if (state.isEmpty(line) || state.sCount[line] < state.blkIndent) return false;
    at = state.bMarks[line] + state.tShift[line];
  }
  if (line < end) lines.push(state.src.slice(at, stop));
  const content = lines.join('\n').trim();
  if (!open && (stop < at || content === '' || isProse(content) || state.src.slice(stop + 2, state.eMarks[line]).trim() !== '')) return false;
  if (silent) return true;
  const next = Math.min(line + 1, end);
  const token = state.push('math_display', '', 0);
  Object.assign(token, { block: true, content, map: [start, next], meta: open ? { open } : null });
  state.line = next;
  return true;
}

function addInline(markdown) {
  const { ruler } = markdown.inline;
  const rules = Object.fromEntries(ruler.__rules__.map(({ name, fn }) => [name, fn]));
  ruler.after('text', 'address', address);
  ruler.before('escape', 'maths', maths);
  ruler.before('html_inline', 'cell_break', cellBreak);
  const scan = scanner(markdown);
  for (const name of ['emphasis', 'strikethrough']) {
    ruler.at(name, (state, silent) => {
      state.scanDelims = scan;
      return rules[name](state, silent);
    });
  }
}

function maths(state, silent) {
  const { src, pos, posMax } = state;
  let opener = src.slice(pos, pos + 2);
  if (!Object.hasOwn(closers, opener)) {
    opener = src[pos];
    if (opener !== '$') return false;
  }
  const begin = pos + opener.length;
  const stop = find(src, closers[opener], begin, Math.min(posMax, begin + longest));
  const content = stop < 0 ? '' : src.slice(begin, stop);
  const after = stop + opener.length;
  if (content.trim() === '' || content.includes('`') || isProse(content)) return false;
  if (opener === '$') {
    if (content !== content.trim() || content.endsWith('\\') || content.includes('\n')) return false;
    if (/^[$\p{L}\p{N}]/u.test(src.slice(after, after + 2))) return false;
  }
  if (!silent) {
    const token = state.push(opener === '$' || opener === '\\(' ? 'math' : 'math_display', '', 0);
    token.content = content.trim();
  }
  state.pos = after;
  return true;
}

const addressRest = /[^\s<>"'`{}|\\^[\]\u3000-\u303f\uff00-\uffef]+/y;

// An address that stands in a text as it is.
function address(state, silent) {
  const { src, pos, posMax } = state;
  if (silent || state.linkLevel > 0 || !src.startsWith('://', pos)) return false;
  const scheme = /(?:^|[^\p{L}\p{N}_])(https?)$/iu.exec(state.pending)?.[1];
  addressRest.lastIndex = pos + 3;
  let rest = addressRest.exec(src)?.[0].slice(0, posMax - pos - 3) ?? '';
  const count = (sign) => rest.split(sign).length;
  while (/[.,:;!?*_~]$/.test(rest) || (rest.endsWith(')') && count(')') > count('('))) rest = rest.slice(0, -1);
  if (!scheme || rest === '') return false;
  const text = `${scheme}://${rest}`;
  state.pending = state.pending.slice(0, -scheme.length);
  state.push('link_open', 'a', 1).attrs = [['href', state.md.normalizeLink(text)]];
  state.push('text', '', 0).content = text;
  state.push('link_close', 'a', -1);
  state.pos = pos + 3 + rest.length;
  return true;
}

const breakTag = /<br ?\/?>/iy;

function cellBreak(state, silent) {
  breakTag.lastIndex = state.pos;
  if (!state.env.cell || !breakTag.test(state.src)) return false;
  if (!silent) state.push('hardbreak', 'br', 0);
  state.pos = breakTag.lastIndex;
  return true;
}

const cjk = /^[\u1100-\u11ff\u2e80-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\u{20000}-\u{3ffff}]/u;

// What a run of delimiters can do. CJK punctuation counts as a letter, and beside a CJK letter other
// punctuation does not keep a run from opening or closing.
function scanner(markdown) {
  const { isWhiteSpace, isMdAsciiPunct, isPunctCharCode } = markdown.utils;
  const plain = new markdown.inline.State('', markdown, {}, []).scanDelims;
  return /** @this {any} */ function scan(start, canSplit) {
    const scanned = plain.call(this, start, canSplit);
    const end = start + scanned.length;
    const sides = [
      start > 0 ? String.fromCodePoint(this.src.slice(Math.max(0, start - 2), start).match(/.$/su)?.[0].codePointAt(0) ?? 32) : ' ',
      end < this.posMax ? String.fromCodePoint(this.src.codePointAt(end)) : ' ',
    ];
    const of = sides.map((each) => cjk.test(each));
    if (!of.includes(true)) return scanned;
    const blank = sides.map((each) => isWhiteSpace(each.codePointAt(0)));
    const point = sides.map((each, i) => !of[i] && (isMdAsciiPunct(each.codePointAt(0)) || isPunctCharCode(each.codePointAt(0))));
    const left = !blank[1] && (!point[1] || blank[0] || point[0] || of[0]);
    const right = !blank[0] && (!point[0] || blank[1] || point[1] || of[1]);
    return {
      can_open: left && (canSplit || !right || point[0]),
      can_close: right && (canSplit || !left || point[1]),
      length: scanned.length,
    };
  };
}

// As the parser's own, and says of each text whether it is a cell's. In a paragraph as deep as lists
// and quotes go, further marks of such are drawn.
function inline(state) {
  let before = '';
  for (const [i, token] of state.tokens.entries()) {
    if (token.type === 'inline') {
      if (before === 'paragraph_open' && state.tokens[i - 1].level > deepest) token.content = token.content.replace(deepMarks, flat);
      state.env.cell = before === 'td_open' || before === 'th_open';
      state.md.inline.parse(token.content, state.md, state.env, token.children);
    }
    before = token.type;
  }
}

// Directions of writing, tasks, and a table's empty heads, which are no heads.
function finish({ tokens, Token }) {
  let depth = 0; // of lists: what is in one has its direction
  tokens.forEach((token, i) => {
    if (/^(?:bullet|ordered)_list_open$/.test(token.type)) {
      depth += 1;
      token.attrSet('dir', 'auto');
    } else if (/^(?:bullet|ordered)_list_close$/.test(token.type)) {
      depth -= 1;
    } else if (token.type === 'td_open' || token.type === 'th_open') {
      token.attrSet('dir', 'auto');
      if (token.type === 'th_open' && tokens[i + 1].content === '') {
        token.tag = 'td';
        tokens[i + 2].tag = 'td';
      }
    } else if ((token.type === 'paragraph_open' || token.type === 'heading_open') && depth === 0) {
      token.attrSet('dir', 'auto');
    } else if (token.type === 'inline' && tokens[i - 2]?.type === 'list_item_open') {
      markTask(tokens[i - 2], token, Token);
    }
    if (/^heading_(?:open|close)$/.test(token.type)) token.tag = 'h3';
  });
}

function markTask(item, { children }, Token) {
  const [first] = children;
  const found = first?.type === 'text' ? /^\[([ xX])\] (?=\S)/.exec(first.content) : null;
  if (!found) return;
  first.content = first.content.slice(found[0].length);
  const task = new Token('task', '', 0);
  task.content = found[1].toLowerCase();
  children.unshift(task);
  item.attrSet('class', 'task');
}
