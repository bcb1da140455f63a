// A conversation as a request has it. Pure.

/**
 * What the server is sent of a conversation: the system text and the messages up to `answer`, which
 * itself is sent only when it is continued. An answer without text says nothing and is left out; what
 * was said in front of it and behind it then is one turn, since no model has seen two in a row.
 * @param {Message[]} messages
 * @param {Message | null} [answer]
 * @returns {SentMessage[]}
 */
export function conversation(messages, answer = null, system = '') {
  /** @type {SentMessage[]} */
  const sent = system === '' ? [] : [{ role: 'system', content: system }];
  for (const message of messages) {
    const last = sent.at(-1);
    const { role, content } = message;
    if (content !== '' && role === 'user' && last?.role === 'user') last.content += `\n\n${content}`;
    else if (content !== '') sent.push({ role, content });
    if (message === answer) break;
  }
  return sent;
}
