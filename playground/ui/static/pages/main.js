// Starts the page once Gradio has drawn its frame.

import { Chat } from '../chat/chat.js';
import { startAbout } from '../engine/about.js';
import { nameModel } from '../engine/model_name.js';
import { startNote } from '../engine/note.js';
import { onEngine, watchEngine } from '../engine/state.js';
import { address } from '../lib/api.js';
import { $, whenAdded } from '../lib/dom.js';
import { menu } from '../lib/menu.js';
import { Notice } from '../lib/notice.js';
import { arrowsBetween } from '../lib/tabs.js';
import { brief, within } from '../lib/text.js';
import { ScrollPlace } from '../lib/scroll_place.js';
import { startTheme, themeMenu } from '../lib/theme.js';
import { arrive, onFragment, startAddress } from '../lib/url_hash.js';
import { choosePresetTab, presetTab, startSamplers } from '../presets/panel.js';
import { viewOf } from '../records/views.js';
import { currentTab, setupText, tabButton } from '../share/setup_link.js';
import { startAccount } from './account.js';

const links = 'links'; // the window Share, where it shows My links
const linksOpen = () => document.querySelector('dialog.share[open] .my-links') !== null;

async function openLinks() {
  (await import('../share/share_window.js')).openShare(undefined, { links: true });
}

// What the address says: nothing where a field cannot be read, or where it would be too long.
// beneath: of what is below the window.
function described(beneath) {
  const tab = currentTab();
  const parts = [tab, tab === 'chat' ? presetTab() : ''];
  if (!beneath && linksOpen()) return { place: [...parts, links].join('/'), text: `share=${links}&tab=${tab}` };
  const place = parts.join('/');
  try {
    return { place, text: setupText() };
  } catch {
    return { place, text: '' };
  }
}

async function goTo(place) {
  const [tab, preset, window] = place.split('/');
  tabButton(tab)?.click();
  if (preset) choosePresetTab(preset);
  if (window === links) await openLinks();
}

async function start() {
  const chat = new Chat();
  const notice = new Notice($('#page-notice'));
  const unknown = (fragment) => notice.show(`There is nothing at “#${brief(fragment, 60)}” on this page.`);
  startSamplers(() => chat.panelChanged());
  await chat.start();
  startAbout();
  // Gradio draws the tab when it is first opened; until then its modules are not loaded.
  whenAdded(document.getElementById('views'), '#comparison', async () => {
    (await import('../compare/comparison.js')).startComparison(chat);
  });
  $('#chat-new').addEventListener('click', async () => {
    if (currentTab() === 'compare') (await viewOf('comparison')).clear();
    else {
      tabButton('chat')?.click();
      chat.clear();
    }
  });
  $('#theme').replaceWith(themeMenu());
  $('#recent').replaceWith(menu('Recent conversations', async () => (
    (await import('../history/recent.js')).recentItems((words) => notice.show(words))), 'Recent'));
  $('#share').addEventListener('click', async () => {
    (await import('../share/share_window.js')).openShare();
  });
  whenAdded(document.getElementById('views'), '#history', async (node) => {
    (await import('../history/history.js')).startHistory(node);
  });
  whenAdded(document.getElementById('views'), '#comparison, #history, .about', (node) => (
    new ScrollPlace(node.id || 'about', document.documentElement, node)));
  // The tabs stick below the masthead, which is higher while it says that nobody is logged in. In the
  // next frame, since it makes other observed parts lower, which would be told too late in this one.
  new ResizeObserver(([{ borderBoxSize: [{ blockSize }] }]) => {
    requestAnimationFrame(() => document.body.style.setProperty('--bar', `${blockSize}px`));
  }).observe($('#masthead'));
  whenAdded(document.getElementById('views'), '.engine-note', (note) => startNote(note, note.closest('.talk, .comparison')));
  const product = $('.masthead .model').textContent;
  onEngine(({ state, engine }) => {
    if (state === 'unknown') nameModel({ title: product, badge: '', score: '' });
    else if (engine) nameModel(engine.label);
    else return; // while it is away, the one that answered last is named
    document.title = engine ? `${within(engine.label.title)} · playground` : product;
  });
  watchEngine();
  startAccount();
  onFragment('setup', async (...link) => (await import('../share/open_setup.js')).openSetup(...link));
  onFragment('continue', async (token) => (await import('../share/continue_snapshot.js')).continueFrom(token));
  onFragment('share', (value, fragment) => {
    const [, tab = currentTab()] = /&tab=([^&]*)/.exec(value) ?? [];
    if (!/^links\b/.test(value) || !tabButton(tab)) return unknown(fragment);
    tabButton(tab)?.click();
    return openLinks();
  });
  new MutationObserver(arrive).observe($('#views > .tab-wrapper'), {
    subtree: true, attributeFilter: ['aria-selected'],
  });
  arrowsBetween($('#views > .tab-wrapper [role="tablist"]'));
  startAddress(described, goTo, unknown);
  document.documentElement.dataset.playground = 'ready';
}

startTheme();

// Below a path whose slash is missing, what Gradio's page asks for lies elsewhere.
const root = new URL(address('')).pathname;
if (`${location.pathname}/` === root) location.replace(root + location.search + location.hash);

function drawn() {
  return ['#engine-state', '#chat-prompt', '.preset', '#request-form'].every((selector) => document.querySelector(selector));
}

const watching = new MutationObserver(() => {
  if (!drawn()) return;
  watching.disconnect();
  void start();
});
if (drawn()) void start();
else watching.observe(document.body, { childList: true, subtree: true });
