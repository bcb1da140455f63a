import { tabChannel } from '../lib/tab_channel.js';
import { startTheme } from '../lib/theme.js';

startTheme();

// What stands behind # in an address never reaches a server: it is handed on by the form's address,
// so that a link to a set-up still leads there after its reader has logged in.
for (const form of document.querySelectorAll('form')) {
  if (location.hash) form.action += location.hash;
}
// Pages that are open in other tabs look whether they are still somebody's.
tabChannel('kto-playground.logins')(null);
