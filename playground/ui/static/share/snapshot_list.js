// The list of one's own snapshots: open, copy, delete.

import { change, json } from '../lib/api.js';
import { $, alertOf, button, copyButton, element, note } from '../lib/dom.js';
import { dates, openings, within } from '../lib/text.js';
import { linkList, openLink } from './link_list.js';

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
  const remove = button('Delete', () => {
    sure.hidden = false;
    remove.hidden = true;
    $('button', sure).focus();
  });
  const item = element('li', {},
    element('p', { className: 'title', textContent: share.title }),
    element('p', { textContent: facts(share) }),
    element('div', { className: 'row' }, openLink(address, share.title), copyButton('Copy', () => address), remove, sure), problem);
  const keep = () => {
    sure.hidden = true;
    remove.hidden = false;
    remove.focus();
  };
  sure.append(
    button('Delete it', async () => {
      problem.hidden = true;
      try {
        await change('DELETE', `api/shares/${share.token}`);
        again(`Deleted “${within(share.title)}”.`);
      } catch (error) {
        if (error.kind === 'not_found') {
          again('It was deleted already.');
          return;
        }
        problem.textContent = `It was not deleted. ${error.message}`;
        problem.hidden = false;
      }
    }), ' ', button('Keep it', keep));
  remove.setAttribute('aria-label', `Delete ${share.title}`);
  return item;
}

export function mySnapshots() {
  return linkList(async () => (await json('api/shares')).shares, row,
    (shares) => (shares.length > 0 ? [] : [note('There are no snapshots of yours yet.')]));
}
