// Goes on here with what a snapshot holds.

import { patientJson } from '../lib/api.js';
import { openDialog } from '../lib/dialog.js';
import { button, element } from '../lib/dom.js';
import { brief, within } from '../lib/text.js';
import { openRecord } from '../records/records.js';

// Puts the snapshot's conversation or comparison into its tab; what was there can be brought back.
// Where it cannot, the page says why. False when it may be opened later.
export async function continueFrom(token) {
  try {
    const { share, record } = await patientJson(`api/shares/${encodeURIComponent(token)}`);
    return await openRecord(record, `Continued from the snapshot “${within(brief(share.title))}”.`);
  } catch (error) {
    const window = openDialog('The snapshot was not opened',
      element('p', { className: 'problems', textContent: error.message }),
      element('p', { className: 'note', textContent: 'Nothing was changed.' }));
    if (error.retryable) {
      window.append(button('Try again', () => { window.close(); void continueFrom(token); }, 'primary'));
    }
    return !error.retryable && error.kind !== 'login';
  }
}
