// The window Share: links to what is on the page, and the list of those that there are.

import { openDialog } from '../lib/dialog.js';
import { element, note } from '../lib/dom.js';
import { tabs } from '../lib/tabs.js';
import { arrive } from '../lib/url_hash.js';
import { currentRecord } from '../records/views.js';
import { demoSection, myDemos } from './demo_section.js';
import { currentTab } from './setup_link.js';
import { setupSection } from './setup_section.js';
import { mySnapshots } from './snapshot_list.js';
import { snapshotSection } from './snapshot_section.js';

// All links of one's own that the server keeps.
function myLinks() {
  const [snapshots, demos] = [mySnapshots(), myDemos()];
  void snapshots.show();
  void demos.show();
  return [element('div', { className: 'my-links' },
    element('h3', { textContent: 'Snapshots' }), snapshots.node, element('h3', { textContent: 'Demo links' }), demos.node,
    note('A link to settings is not listed: all of it stands in the link itself.'))];
}

// Opens the window. record: what a snapshot freezes; what the visible tab holds, unless it is given.
// links: begins with My links, which is a place of the page with an address of its own.
export function openShare(record = currentRecord(), { links = false } = {}) {
  // Each section is made once, so that what was typed survives a look at another.
  const once = (make) => {
    /** @type {Node[] | null} */
    let made = null;
    return () => (made ??= [make()]);
  };
  const toLinks = () => {
    const tab = /** @type {HTMLElement} */ (shown.querySelector('[role="tab"]:last-of-type'));
    tab.click();
    tab.focus();
  };
  const kind = record?.kind ?? (currentTab() === 'compare' ? 'comparison' : 'chat');
  const shown = tabs('What to share', [
    { label: kind === 'comparison' ? 'Comparison' : 'Conversation', content: once(() => snapshotSection(record, toLinks)) },
    { label: 'Settings', content: once(setupSection) },
    { label: 'Demo', content: once(demoSection) },
    { label: 'My links', content: myLinks },
  ], { first: links ? 3 : 0, chosen: arrive });
  openDialog('Share', shown).classList.add('share');
}
