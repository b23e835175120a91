/** The page at `/`: with a session in its address it shows that session, else it makes one. */

import { principalOf } from './access.js';
import { openCreateView } from './create-view.js';
import { openSessionView } from './session-view.js';
import { takeToken, watchAddress } from './token.js';

const sessionId = new URL(location.href).searchParams.get('session');
const token = takeToken(sessionId);
watchAddress(token);
const place = { base: location.origin, token, principal: principalOf(token) };

if (sessionId) openSessionView({ ...place, sessionId });
else openCreateView(place);
