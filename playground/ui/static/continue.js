// Goes on here with what a snapshot holds.

import { openRecord } from './records.js';
import { json } from './server.js';

// Puts the snapshot's conversation or comparison into its tab; what was there can be brought back.
// Throws in words.
export async function continueFrom(token) {
  const { share, record } = await json(`api/shares/${encodeURIComponent(token)}`);
  return openRecord(record, `Continued from the snapshot “${share.title}”.`);
}
