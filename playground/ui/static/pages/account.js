// Who is logged in, beside the engine's state; and what is said when a login is over, or another
// one's, while the page is open.

import { engine, look, onEngine } from '../engine/state.js';
import { address, drawnFor, json, LOGGED_OUT } from '../lib/api.js';
import { $, button, element } from '../lib/dom.js';
import { tabChannel } from '../lib/tab_channel.js';

export function startAccount() {
  onEngine(({ refused, reason }) => {
    if (!refused) void learn();
    const said = document.getElementById('logged-out');
    if (said?.dataset.refused === refused) return;
    said?.remove();
    if (refused) say(refused, reason);
  });
  document.addEventListener(LOGGED_OUT, () => { if (!engine().refused) void look(); });
  // Pages that are opened after a login or a logout in another tab tell of it.
  tabChannel('kto-playground.logins', look)(null);
}

let asked = false;

// For whom the page is drawn, asked again with the engine's state until there is an answer: only then does
// the page notice another one's login.
async function learn() {
  if (asked) return;
  asked = true;
  let visitor;
  try {
    visitor = await json('api/visitor');
  } catch {
    asked = false;
    return; // the engine's state says why
  }
  if (visitor.name === null) return;
  drawnFor(visitor.name);
  const account = element('form', { id: 'account', method: 'post', action: address('logout') }, element('span', { textContent: visitor.name, title: visitor.name }));
  if (visitor.logout) account.append(element('button', { className: 'quiet', textContent: 'Log out' }));
  $('#engine-state').before(account);
}

function say(refused, reason) {
  const words = element('p', { id: 'logged-out', dataset: { refused } });
  if (refused === 'login') {
    words.append('You are logged out. What is on this page stays. ',
      element('a', { href: address('login?next=/login'), target: '_blank', textContent: 'Log in again' }));
  } else {
    words.append(`${reason} `, button('Reload', () => location.reload()));
  }
  words.setAttribute('role', 'alert');
  $('.masthead').after(words);
}
