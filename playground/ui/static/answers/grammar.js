// The server's Markdown (generation/markdown.py) for the browser: the same grammar by the same parser,
// so that a block looks while it is written as it will look when the server sends it. Code has no
// colours here.

const links = /^(?:https?:\/\/|mailto:)/i;

const attributes = 'rel="noopener noreferrer nofollow" target="_blank"';

export function makeGrammar(markdownit) {
  const markdown = markdownit('commonmark', { html: false }).enable(['table', 'strikethrough']).disable('reference');
  const { escapeHtml, unescapeAll } = markdown.utils;
  markdown.validateLink = (url) => links.test(url);
  const { rules } = markdown.renderer;

  rules.code_block = rules.fence = (tokens, i) => {
    const { content, info } = tokens[i];
    const [language = ''] = unescapeAll(info).split(/\s+/).filter(Boolean);
    const caption = language && `<figcaption>${escapeHtml(language)}</figcaption>`;
    return `<figure class="code">${caption}<pre><code>${escapeHtml(content)}</code></pre></figure>\n`;
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
    return `<a href="${escapeHtml(source)}" ${attributes}>${escapeHtml(text)}</a>`;
  };
  boundTables(markdown);
  return markdown;
}

// A table ends where filling up its rows would take more cells than it has characters.
function boundTables(markdown) {
  const { ruler } = markdown.block;
  const [table] = ruler.getRules(''); // the first of them all
  ruler.at('table', (state, start, end, silent) => {
    const begins = table(state, start, end, true);
    if (silent || !begins) return begins;
    const mark = state.src.slice(state.bMarks[start + 1], state.eMarks[start + 1]);
    const columns = Math.max(1, mark.split('|').length - 2);
    let last = start + 2;
    while (last < end && (last - start) * columns <= state.eMarks[last] - state.bMarks[start]) last += 1;
    return table(state, start, last, false);
  }, { alt: ['paragraph', 'reference'] });
}
