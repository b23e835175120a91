/** The page at `/`: with a session in its address it shows that session, else it makes one. */

import { openCreateView } from './create-view.js';
import { openSessionView } from './session-view.js';

const address = new URL(location.href);
const sessionId = address.searchParams.get('session');

// A token stands behind the `#`, where no server log sees it.
const token = new URLSearchParams(address.hash.slice(1)).get('token');
const place = { base: location.origin, token };

if (sessionId) openSessionView({ ...place, sessionId });
else openCreateView(place);
