// The list of one's own snapshots: open, copy, revoke.

import { change, json } from '../lib/api.js';
import { $, alertOf, button, copyButton, element, note } from '../lib/dom.js';
import { dates, openings } from '../lib/text.js';
import { linkList } from './link_list.js';

const kinds = { chat: 'conversation', comparison: 'comparison' };
const date = (seconds) => dates.format(new Date(1000 * seconds));

function facts({ kind, created, expires, views, private: hidden }) {
  const over = expires !== null && 1000 * expires <= Date.now();
  return [
    kinds[kind] ?? kind, `made ${date(created)}`,
    expires !== null && `${over ? 'expired' : 'works until'} ${date(expires)}`,
    openings(views),
    hidden && 'private',
  ].filter(Boolean).join(' · ');
}

function row(share, again) {
  const { url: address } = share;
  const problem = alertOf();
  const sure = element('span', { className: 'sure', hidden: true }, 'It stops working at once. ');
  const revoke = button('Revoke', () => {
    sure.hidden = false;
    revoke.hidden = true;
    $('button', sure).focus();
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
  const { node, show } = linkList(async () => (await json('api/shares')).shares, row, (shares) => [
    ...(shares.length > 0 ? [] : [note('There are no snapshots of yours yet.')]),
    note('Demo links are listed under Demo; a set-up link is stored nowhere.')]);
  void show();
  return node;
}
