// The list of one's own snapshots: open, copy, revoke.

import { button, copyButton, dates, element, number } from './dom.js';
import { change, json } from './server.js';

const kinds = { chat: 'conversation', comparison: 'comparison' };
const note = (text) => element('p', { className: 'note', textContent: text });
const date = (seconds) => dates.format(new Date(1000 * seconds));

function opened(views) {
  if (views === 0) return 'not opened by others yet';
  return `opened ${views === 1 ? 'once' : `${number.format(views)} times`} by others`;
}

function facts({ kind, created, expires, views, private: hidden }) {
  const over = expires !== null && 1000 * expires <= Date.now();
  return [
    kinds[kind] ?? kind, `made ${date(created)}`,
    expires !== null && `${over ? 'expired' : 'works until'} ${date(expires)}`,
    opened(views),
    hidden && 'private',
  ].filter(Boolean).join(' · ');
}

function row(share, again) {
  const { url: address } = share;
  const problem = element('p', { className: 'problems', hidden: true });
  problem.setAttribute('role', 'alert');
  const sure = element('span', { className: 'sure', hidden: true }, 'It stops working at once. ');
  const revoke = button('Revoke', () => {
    sure.hidden = false;
    revoke.hidden = true;
    sure.querySelector('button').focus();
  });
  const item = element('li', {},
    element('a', { href: address, target: '_blank', rel: 'noopener', textContent: share.title }),
    element('p', { textContent: facts(share) }),
    element('div', { className: 'row' }, copyButton('Copy', () => address), revoke, sure), problem);
  const keep = () => {
    sure.hidden = true;
    revoke.hidden = false;
    revoke.focus();
  };
  sure.append(
    button('Revoke it', async () => {
      problem.hidden = true;
      try {
        await change('DELETE', `api/shares/${share.token}`);
        again(`Revoked “${share.title}”.`);
      } catch (error) {
        if (error.kind === 'not_found') {
          again('It was revoked already.');
          return;
        }
        problem.textContent = `It was not revoked. ${error.message}`;
        problem.hidden = false;
      }
    }), ' ', button('Keep it', keep));
  revoke.setAttribute('aria-label', `Revoke ${share.title}`);
  return item;
}

export function myLinks() {
  const node = element('div', { className: 'links' });

  async function show(words = '') {
    node.setAttribute('aria-busy', 'true');
    const said = words === '' ? [] : [element('p', { className: 'done', textContent: words })];
    said[0]?.setAttribute('role', 'status');
    try {
      const { shares } = await json('api/shares');
      const list = element('ul', {}, ...shares.map((share) => row(share, show)));
      node.replaceChildren(...said, shares.length > 0 ? list : note('There are no snapshots of yours yet.'), note('Demo links are listed under Demo; a set-up link is stored nowhere.'));
    } catch (error) {
      const problem = element('p', { className: 'problems', textContent: error.message });
      problem.setAttribute('role', 'alert');
      node.replaceChildren(...said, problem, button('Try again', () => show()));
    }
    node.removeAttribute('aria-busy');
  }

  show();
  return node;
}
