// Who is logged in, beside the engine's state; and what is said when a login is over while the page
// is open.

import { element } from './dom.js';
import { engine, look, onEngine } from './engine.js';
import { address, json, LOGGED_OUT } from './server.js';

export async function startAccount() {
  // The engine is asked for again and again, so that a login in another tab is noticed by itself.
  onEngine(({ loggedOut }) => (loggedOut ? say() : document.getElementById('logged-out')?.remove()));
  document.addEventListener(LOGGED_OUT, () => { if (!engine().loggedOut) look(); });
  let visitor;
  try {
    visitor = await json('api/visitor');
  } catch {
    return; // the engine's state says why
  }
  if (visitor.name === null) return;
  const account = element('form', { id: 'account', method: 'post', action: address('logout') }, element('span', { textContent: visitor.name }));
  if (visitor.logout) account.append(element('button', { className: 'quiet', textContent: 'Log out' }));
  document.getElementById('engine-state').before(account);
}

function say() {
  if (document.getElementById('logged-out')) return;
  const words = element('p', { id: 'logged-out' },
    'You are logged out. What is on this page stays. ',
    element('a', { href: address('login?next=/login'), target: '_blank', textContent: 'Log in again' }));
  words.setAttribute('role', 'alert');
  document.querySelector('.masthead').after(words);
}
