// What stands behind # in an address never reaches a server: it is handed on by the form's address,
// so that a link to a set-up still leads there after its reader has logged in.
for (const form of document.querySelectorAll('form')) {
  if (location.hash) form.action += location.hash;
}
