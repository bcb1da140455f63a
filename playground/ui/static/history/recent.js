// The conversations that were gone on with last, one click away from every tab.

import { $ } from '../lib/dom.js';
import { brief, firstSentence, within } from '../lib/text.js';
import { allEntries, covers, readEntry } from '../records/archive.js';
import { currentRefusal } from '../records/archive_entry.js';
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

// Runs what the storage may refuse; refused(words): it did.
async function guarded(run, refused) {
  try {
    return await run();
  } catch (error) {
    if (error.name !== 'Refused') throw error;
    return refused(error.message);
  }
}

// The items of a menu. say(words): why one cannot be opened.
export async function recentItems(say) {
  let refusal = currentRefusal();
  const found = await guarded(allEntries, (words) => {
    refusal = words;
    return [];
  });
  const entries = found.map(readEntry).filter(({ problem }) => problem === undefined);
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
        current: viewIfDrawn(record.kind)?.entry.handle.id === id, run: () => guarded(() => openEntry(entry), say),
      };
    }),
    {
      label: entries.length > 0 ? 'All conversations' : refusal ? 'None are kept' : 'None yet: they are kept in History',
      facts: entries.length === 0 && refusal ? firstSentence(refusal) : undefined, run: () => tab('history'), last: true,
    },
  ];
}
