// The window Share: links to what is on the page, and the list of those that there are.

import { openDialog } from '../lib/dialog.js';
import { tabs } from '../lib/tabs.js';
import { currentRecord } from '../records/views.js';
import { demoSection } from './demo_section.js';
import { setupSection } from './setup_section.js';
import { myLinks } from './snapshot_list.js';
import { snapshotSection } from './snapshot_section.js';

// Opens the window. record: what a snapshot freezes; what the visible tab holds, unless it is given.
export function openShare(record = currentRecord()) {
  // Each section is made once, so that what was typed survives a look at another.
  const once = (make) => {
    /** @type {Node[] | null} */
    let made = null;
    return () => (made ??= [make()]);
  };
  const window = openDialog('Share', tabs('What to share', [
    { label: 'Snapshot', content: once(() => snapshotSection(record)) },
    { label: 'Set-up', content: once(setupSection) },
    { label: 'Demo', content: once(demoSection) },
    { label: 'My links', content: () => [myLinks()] },
  ]));
  window.classList.add('share');
}
