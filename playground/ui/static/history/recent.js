// The conversations that were gone on with last, one click away from every tab.

import { $ } from '../lib/dom.js';
import { brief, within } from '../lib/text.js';
import { allEntries, covers, readEntry } from '../records/archive.js';
import { openRecord } from '../records/records.js';
import { viewIfDrawn } from '../records/views.js';
import { clock, dayOf, kinds, lastSaid, sharedTitles } from './entry_list.js';

const most = 8;
const length = 40; // characters of a title
const tab = (name) => $(`#view-${name}-button`).click();

// Shows an entry in its tab; what Chat or Compare hold already is only shown.
export async function openEntry({ id, revision, record }) {
  const view = viewIfDrawn(record.kind);
  const now = view?.entry.handle.id === id ? view.record() : null;
  if (now && covers(now, record)) tab(record.kind === 'chat' ? 'chat' : 'compare');
  else await openRecord(record, `Opened “${within(record.title.replace(/\.$/, ''))}”.`, { id, revision });
}

// The items of a menu. say(words): why there are none, or why one cannot be opened.
export async function recentItems(say) {
  const guarded = async (run) => {
    try {
      return await run();
    } catch (error) {
      if (error.name !== 'Refused') throw error;
      say(error.message);
      return [];
    }
  };
  const entries = (await guarded(allEntries)).map(readEntry).filter(({ problem }) => problem === undefined);
  entries.sort((a, b) => b.updated - a.updated);
  const listed = entries.slice(0, most);
  const shared = sharedTitles(listed.map(({ record }) => record));
  return [
    ...listed.map((entry) => {
      const { id, updated, record } = entry;
      const facts = [kinds[record.kind], `${dayOf(updated)}, ${clock.format(updated)}`];
      if (shared.has(record.title)) facts.unshift(lastSaid(record));
      return {
        label: within(brief(record.title, length)), told: record.title, facts: facts.join(' · '),
        current: viewIfDrawn(record.kind)?.entry.handle.id === id, run: () => guarded(() => openEntry(entry)),
      };
    }),
    { label: entries.length > 0 ? 'All conversations' : 'None yet: they are kept in History', run: () => tab('history'), last: true },
  ];
}
