/** The page at `/`: it shows the session in its address, or the form that creates one. */

import { principalOf } from './access.js';
import { openCreateView } from './create-view.js';
import { openSessionView } from './session-view.js';
import { takeToken, watchAddress } from './token.js';

const sessionId = new URL(location.href).searchParams.get('session');
const token = takeToken(sessionId);
watchAddress(token);
const options = { base: location.origin, token, principal: principalOf(token) };

if (sessionId) openSessionView({ ...options, sessionId });
else openCreateView(options);
