// Who is logged in, beside the engine's state; and what is said when a login is over while the page
// is open.

import { button, element } from './dom.js';
import { look } from './engine.js';
import { address, json, LOGGED_OUT } from './server.js';

async function visitor() {
  try {
    return await json('api/visitor');
  } catch {
    return null; // logged out, which has been said, or away, which the engine's state says
  }
}

export async function startAccount() {
  document.addEventListener(LOGGED_OUT, say);
  addEventListener('focus', unsay);
  document.addEventListener('visibilitychange', unsay);
  const { name, logout } = (await visitor()) ?? {};
  if (!name) return;
  const account = element('form', { id: 'account', method: 'post', action: address('logout') }, element('span', { textContent: name }));
  if (logout) account.append(element('button', { className: 'quiet', textContent: 'Log out' }));
  document.getElementById('engine-state').before(account);
}

function say() {
  if (document.getElementById('logged-out')) return;
  const words = element('p', { id: 'logged-out' },
    'You are logged out. What is on this page stays. ',
    element('a', { href: address('login?next=/login'), target: '_blank', textContent: 'Log in again' }),
    button('I have', unsay));
  words.setAttribute('role', 'alert');
  document.querySelector('.masthead').after(words);
}

// Back from logging in, in another window or tab.
async function unsay() {
  const words = document.getElementById('logged-out');
  if (!words || document.visibilityState !== 'visible' || !(await visitor())) return;
  words.remove();
  look();
}
