/** A page with the hooks in it, for the tests: what they draw stands in the document, and how often in `window.drawn`. */

import { StrictMode } from 'react';
import { createRoot, hydrateRoot } from 'react-dom/client';
import { SyncKairosClient } from '../../../sdk/index.js';
import { Alone, App } from './app.jsx';

window.drawn = { clock: 0, second: 0, silent: 0, now: 0, time: 0 };
window.client = new SyncKairosClient(location.origin);

const root = document.getElementById('root');
const shown = ({ aloneId, ...props }) => <StrictMode>{aloneId ? <Alone id={aloneId} /> : <App client={window.client} {...props} />}</StrictMode>;

/** Draws the parts that are named, in StrictMode, into what a server rendered if there is anything. */
window.mount = (props) => {
  const isRendered = root.hasChildNodes();
  const mounted = isRendered ? hydrateRoot(root, shown(props)) : createRoot(root);
  if (!isRendered) mounted.render(shown(props));
  window.again = (other) => mounted.render(shown(other));
  window.unmount = () => mounted.unmount();
};
